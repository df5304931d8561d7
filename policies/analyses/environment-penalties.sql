/*---
title: {zh: 各行业环境处罚, en: Environmental penalties by industry}
description:
  zh: 各行业参评企业数，以及当年环境处罚金额达到下限的企业比例。
  en: Rated firms by industry, and the share of them that paid at least some amount in penalties that year.
parameters:
  year:
    title: {zh: 评价年度, en: Year}
    type: integer
    values: [2020, 2021, 2022]
    default: 2022
  least:
    title: {zh: 处罚金额下限（元）, en: Least amount of penalties (CNY)}
    type: number
    bounds: [1, 1_000_000]
    default: 10_000
reviewers: [wu]
rho: 0.01
chart: {x: industry, y: penalised}
columns:
  industry: {zh: 行业, en: Industry}
  firms: {zh: 参评企业数, en: Rated firms}
  penalised: {zh: 受罚比例, en: Share penalised}
---*/
SELECT ent.industry AS industry,
       COUNT(*) AS firms,
       AVG(CASE WHEN esg.env_penalty_amt >= :least THEN 1 ELSE 0 END) AS penalised
FROM esg
JOIN ent ON esg.uscc = ent.uscc
WHERE esg.eval_year = :year
GROUP BY ent.industry
ORDER BY industry
