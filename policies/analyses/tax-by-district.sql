/*---
title: {zh: 各区平均税额, en: Mean tax by district}
description:
  zh: 某一行业的企业在某一季度平均缴税多少，按登记所在区分列。每家企业的税额封顶后再平均，使单个大户既不主导也不暴露。
  en: What firms of one industry paid in tax in one quarter on average, by district of registration. Each
    return counts up to a ceiling, so that no large firm dominates or shows.
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
  industry:
    title: {zh: 行业, en: Industry}
    type: string
    values: [A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T]
    labels:
      A: {zh: A 农、林、牧、渔业, en: "A Agriculture, forestry, fishing"}
      B: {zh: B 采矿业, en: B Mining}
      C: {zh: C 制造业, en: C Manufacturing}
      D: {zh: D 电力、热力、燃气及水生产和供应业, en: D Utilities}
      E: {zh: E 建筑业, en: E Construction}
      F: {zh: F 批发和零售业, en: F Wholesale and retail}
      G: {zh: G 交通运输、仓储和邮政业, en: "G Transport, storage and post"}
      H: {zh: H 住宿和餐饮业, en: H Hotels and catering}
      I: {zh: I 信息传输、软件和信息技术服务业, en: I Information and software}
      J: {zh: J 金融业, en: J Finance}
      K: {zh: K 房地产业, en: K Real estate}
      L: {zh: L 租赁和商务服务业, en: L Leasing and business services}
      M: {zh: M 科学研究和技术服务业, en: M Research and technical services}
      N: {zh: N 水利、环境和公共设施管理业, en: "N Water, environment and public facilities"}
      O: {zh: O 居民服务、修理和其他服务业, en: O Household services and repairs}
      P: {zh: P 教育, en: P Education}
      Q: {zh: Q 卫生和社会工作, en: Q Health and social work}
      R: {zh: R 文化、体育和娱乐业, en: "R Culture, sports and entertainment"}
      S: {zh: S 公共管理、社会保障和社会组织, en: S Public administration}
      T: {zh: T 国际组织, en: T International organisations}
    default: C
  ceiling:
    title: {zh: 单笔税额封顶（元）, en: Ceiling of one return (CNY)}
    type: number
    bounds: [10_000, 2_000_000]
    default: 100_000
reviewers: [wu]
rho: 0.01
chart: {x: district, y: mean_tax}
columns:
  district: {zh: 区, en: District}
  firms: {zh: 申报笔数, en: Returns}
  mean_tax: {zh: 平均税额（封顶，元）, en: "Mean tax, with ceiling (CNY)"}
---*/
SELECT ent.reg_district AS district,
       COUNT(*) AS firms,
       AVG(LEAST(tax.tax_paid, :ceiling)) AS mean_tax
FROM tax
JOIN ent ON tax.uscc = ent.uscc
WHERE tax.period = :period
  AND ent.industry = :industry
GROUP BY ent.reg_district
ORDER BY district
