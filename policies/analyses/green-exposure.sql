/*---
title: {zh: 信贷的环境敞口, en: Green exposure}
description:
  zh: 单笔余额不超过上限的贷款，按借款企业的环境信用等级合计。
  en: Loans up to some balance, summed by the borrower's environmental rating.
parameters:
  year:
    title: {zh: 评价年度, en: Year}
    type: integer
    values: [2020, 2021, 2022]
    default: 2022
  max_balance:
    title: {zh: 单笔余额上限（元）, en: Greatest balance of a loan (CNY)}
    type: number
    bounds: [10_000, 10_000_000]
    default: 10_000_000
reviewers: [wu]
chart: {x: env_level, y: total}
columns:
  env_level: {zh: 环境信用等级, en: Rating}
  loans: {zh: 贷款笔数, en: Loans}
  total: {zh: 余额合计（元）, en: Total balance (CNY)}
---*/
SELECT esg.env_level AS env_level,
       COUNT(*) AS loans,
       SUM(loan.balance) AS total
FROM loan
JOIN esg ON loan.uscc = esg.uscc
WHERE esg.eval_year = :year
  AND loan.balance <= :max_balance
GROUP BY esg.env_level
ORDER BY env_level
