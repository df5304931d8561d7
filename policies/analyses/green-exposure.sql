/*---
title: {zh: 信贷的环境敞口, en: Green exposure}
description:
  zh: 借款企业的贷款余额按其环境信用等级合计。每家企业的余额封顶后再合计，使单个大户既不主导也不暴露。
  en: >-
    What firms owe, summed by their environmental rating. Each firm's debt counts up to a ceiling, so that no large
    borrower dominates or shows.
parameters:
  year:
    title: {zh: 评价年度, en: Year}
    type: integer
    values: [2020, 2021, 2022]
    default: 2022
  ceiling:
    title: {zh: 单家企业余额封顶（元）, en: Ceiling of one firm's debt (CNY)}
    type: number
    bounds: [100_000, 10_000_000]
    default: 1_000_000
reviewers: [wu]
chart: {x: env_level, y: total}
columns:
  env_level: {zh: 环境信用等级, en: Rating}
  borrowers: {zh: 借款企业数, en: Borrowers}
  total: {zh: 余额合计（封顶，元）, en: "Total debt, with ceiling (CNY)"}
---*/
SELECT esg.env_level AS env_level,
       COUNT(*) AS borrowers,
       SUM(borrower.debt) AS total
FROM (
    SELECT uscc, LEAST(SUM(balance), :ceiling) AS debt
    FROM loan
    GROUP BY uscc
) AS borrower
JOIN esg ON borrower.uscc = esg.uscc
WHERE esg.eval_year = :year
GROUP BY esg.env_level
ORDER BY env_level
