/*---
title: {zh: 各纳税信用等级的违约率, en: Default rate by tax grade}
description:
  zh: 有余额不低于下限的贷款的企业中，至少一笔逾期 90 天以上的比例，按企业在某季度的纳税信用等级分列。
  en: >-
    Of the firms with loans of at least some balance, the share with one over 90 days past due, by the firm's tax
    grade in one quarter.
parameters:
  period:
    title: {zh: 季度, en: Quarter}
    type: string
    values: [2021Q1, 2021Q2, 2021Q3, 2021Q4, 2022Q1, 2022Q2, 2022Q3, 2022Q4]
    labels:
      2021Q1: {zh: 2021 年第一季度, en: Q1 2021}
      2021Q2: {zh: 2021 年第二季度, en: Q2 2021}
      2021Q3: {zh: 2021 年第三季度, en: Q3 2021}
      2021Q4: {zh: 2021 年第四季度, en: Q4 2021}
      2022Q1: {zh: 2022 年第一季度, en: Q1 2022}
      2022Q2: {zh: 2022 年第二季度, en: Q2 2022}
      2022Q3: {zh: 2022 年第三季度, en: Q3 2022}
      2022Q4: {zh: 2022 年第四季度, en: Q4 2022}
    default: 2022Q2
  min_balance:
    title: {zh: 贷款余额下限（元）, en: Least balance (CNY)}
    type: number
    bounds: [0, 1_000_000]
    default: 0
reviewers: [wu]
chart: {x: tax_grade, y: default_rate}
columns:
  tax_grade: {zh: 纳税信用等级, en: Tax grade}
  borrowers: {zh: 借款企业数, en: Borrowers}
  default_rate: {zh: 违约率, en: Default rate}
---*/
SELECT tax.tax_grade AS tax_grade,
       COUNT(*) AS borrowers,
       AVG(borrower.in_default) AS default_rate
FROM (
    SELECT uscc, MAX(dpd90) AS in_default
    FROM loan
    WHERE balance >= :min_balance
    GROUP BY uscc
) AS borrower
JOIN tax ON borrower.uscc = tax.uscc
WHERE tax.period = :period
GROUP BY tax.tax_grade
ORDER BY tax_grade
