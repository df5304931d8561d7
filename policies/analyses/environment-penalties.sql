/*---
title: {zh: 各行业环境处罚, en: Environmental penalties by industry}
description:
  zh: 参评企业数与平均环境处罚金额，按行业与环境信用等级分列。
  en: Rated firms and their mean penalty, by industry and environmental rating.
parameters:
  year:
    title: {zh: 评价年度, en: Year}
    type: integer
    values: [2020, 2021, 2022]
    default: 2022
reviewers: [wu]
chart: {x: industry, y: mean_penalty, colour: env_level}
columns:
  industry: {zh: 行业, en: Industry}
  env_level: {zh: 环境信用等级, en: Rating}
  firms: {zh: 企业数, en: Firms}
  mean_penalty: {zh: 平均处罚金额（元）, en: Mean penalty (CNY)}
---*/
SELECT ent.industry AS industry,
       esg.env_level AS env_level,
       COUNT(*) AS firms,
       AVG(esg.env_penalty_amt) AS mean_penalty
FROM esg
JOIN ent ON esg.uscc = ent.uscc
WHERE esg.eval_year = :year
GROUP BY ent.industry, esg.env_level
ORDER BY industry, env_level
