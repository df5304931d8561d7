-- aggregates, keys and grouping sets
SELECT district, count(*) AS n, sum(amount) AS total, avg(amount) AS mean, stddev(amount) AS sd FROM loans GROUP BY district ORDER BY total DESC
SELECT var_pop(rate), var_samp(rate), stddev_pop(rate), stddev_samp(rate) FROM loans WHERE rate < 20
SELECT industry, covar_pop(amount, overdue_days), covar_samp(amount, overdue_days) FROM loans GROUP BY industry
SELECT regr_slope(overdue_days, rate), regr_intercept(overdue_days, rate), regr_r2(overdue_days, rate) FROM loans WHERE rate < 20
SELECT regr_count(amount, rate), regr_avgx(amount, rate), regr_avgy(amount, rate) FROM loans
SELECT industry, quantile_cont(amount, 0.25) AS q1, median(amount) AS q2, quantile_cont(amount, 0.75) AS q3 FROM loans GROUP BY industry
SELECT quantile_disc(overdue_days, 0.9) FROM loans
SELECT district, max(overdue_days) AS worst FROM loans GROUP BY district
SELECT count_if(defaulted), countif(overdue_days > 90) FROM loans
SELECT district, bool_or(overdue_days > 300) AS any_late, bool_and(amount >= 0) AS all_pos FROM loans GROUP BY district
SELECT industry, count(*) AS n FROM loans GROUP BY industry ORDER BY n DESC LIMIT 3
SELECT sum(DISTINCT overdue_days) FROM loans
SELECT avg(DISTINCT rate) FROM loans
SELECT count(DISTINCT loan_id) FROM loans
SELECT count(DISTINCT district) FROM loans
SELECT count(DISTINCT (district, industry)) FROM loans
SELECT sum(amount) FILTER (WHERE defaulted) AS bad, sum(amount) FILTER (WHERE NOT defaulted) AS good, sum(amount) FILTER (WHERE defaulted IS NULL) AS unknown FROM loans
SELECT year, avg(amount) FILTER (year >= 2020) FROM loans GROUP BY year
SELECT district, industry, count(*) FROM loans GROUP BY CUBE (district, industry)
SELECT district, year, sum(amount), count(DISTINCT firm_id) FROM loans GROUP BY ROLLUP (district, year)
SELECT district, grouping(district), count(*) FROM loans GROUP BY ROLLUP (district)
SELECT district, year, median(amount) FROM loans GROUP BY GROUPING SETS ((district), (year))
SELECT d.region, l.year, count(*) AS n FROM loans l JOIN districts d USING (district) GROUP BY GROUPING SETS ((d.region, l.year), (d.region), ())
SELECT firm_id % 10 AS bucket, count(*) FROM loans GROUP BY bucket
SELECT year(founded) AS y, count(*) FROM firms GROUP BY y
SELECT decade(founded) AS d, count(*) FROM firms GROUP BY 1
SELECT quarter(founded) AS q, count(*) FROM firms GROUP BY q
SELECT month(founded) AS m, avg(employees) FROM firms GROUP BY m
SELECT strftime(founded, '%Y') AS y, count(*) FROM firms GROUP BY y
SELECT dayname(founded) AS d, count(*) FROM firms GROUP BY d
SELECT monthname(founded) AS d, count(*) FROM firms GROUP BY d
SELECT employees // 100 AS b, count(*) FROM firms GROUP BY b ORDER BY b
SELECT floor(amount / 100000) * 100000 AS b, count(*) FROM loans GROUP BY b ORDER BY b
SELECT round(esg_score, -1) AS b, count(*) FROM firms GROUP BY b
SELECT d.district, count(l.loan_id) AS n FROM districts d LEFT JOIN loans l ON l.district = d.district GROUP BY d.district
SELECT d.district, sum(l.amount) AS total FROM districts d LEFT JOIN loans l USING (district) GROUP BY d.district
SELECT d.region, count(l.firm_id) FROM districts d LEFT JOIN loans l ON d.district = l.district AND l.year = 2023 GROUP BY d.region
SELECT v.y, count(l.loan_id) FROM (VALUES (2018), (2019), (2030)) v(y) LEFT JOIN loans l ON l.year = v.y GROUP BY v.y
WITH top AS (SELECT district, count(*) AS n FROM loans GROUP BY district ORDER BY n DESC LIMIT 3) SELECT t.district, avg(l.amount) FROM top t JOIN loans l ON l.district = t.district GROUP BY t.district
SELECT district, count(*) FROM loans WHERE district IN ('Alder', 'Birch') GROUP BY district
SELECT year, count(*) FROM loans WHERE year BETWEEN 2019 AND 2021 GROUP BY year
SELECT industry, year, count(*) FROM loans WHERE industry LIKE 'T%' AND year > 2022 GROUP BY industry, year
SELECT district, count(*) FROM loans WHERE district <> 'Alder' GROUP BY district
SELECT year, count(*) FROM loans WHERE year IS NOT NULL AND year NOT IN (2018, 2019) GROUP BY year
SELECT l.district, count(*) FROM loans l WHERE l.district = 'Alder' OR l.district = 'Cedar' GROUP BY l.district
-- joins, subqueries, windows and set operations
WITH a AS (SELECT district, count(*) AS n FROM loans GROUP BY district), b AS (SELECT district, count(*) AS f FROM firms GROUP BY district) SELECT a.district, n * 1.0 / f AS loans_per_firm FROM a JOIN b USING (district) ORDER BY 1
SELECT district, count(*) AS n FROM loans WHERE amount > (SELECT avg(amount) FROM loans) GROUP BY district
SELECT count(*) FROM loans WHERE amount > 2 * (SELECT median(amount) FROM loans WHERE year = 2023)
SELECT year, sum(amount) / (SELECT sum(amount) FROM loans) AS share FROM loans GROUP BY year
SELECT count(*) FROM firms WHERE firm_id IN (SELECT firm_id FROM loans WHERE defaulted)
SELECT count(*) FROM firms WHERE firm_id NOT IN (SELECT firm_id FROM loans)
SELECT count(*) FROM firms f WHERE f.firm_id = ANY (SELECT firm_id FROM loans WHERE year = 2024)
SELECT count(*) FROM firms f SEMI JOIN loans l ON f.firm_id = l.firm_id
SELECT count(*) FROM firms f ANTI JOIN loans l ON f.firm_id = l.firm_id AND l.defaulted
SELECT count(*) FROM firms f, loans l WHERE f.firm_id = l.firm_id AND f.employees > 50
SELECT f.district, sum(l.amount) FROM firms f, loans l, districts d WHERE f.firm_id = l.firm_id AND d.district = f.district AND d.region = 'North' GROUP BY f.district
SELECT f.district, avg((SELECT count(*) FROM loans l WHERE l.firm_id = f.firm_id)) AS mean_loans FROM firms f GROUP BY f.district
SELECT avg((SELECT sum(amount) FROM loans l WHERE l.firm_id = f.firm_id)) AS mean_debt FROM firms f
SELECT count(*) FROM firms f WHERE (SELECT count(*) FROM loans l WHERE l.firm_id = f.firm_id) >= 3
SELECT count(*) FROM firms f WHERE (SELECT max(overdue_days) FROM loans l WHERE l.firm_id = f.firm_id) > 90
SELECT f.district, avg(t.n) FROM firms f, LATERAL (SELECT count(*) AS n FROM loans l WHERE l.firm_id = f.firm_id) t GROUP BY f.district
SELECT f.district, avg(t.s) FROM firms f LEFT JOIN LATERAL (SELECT sum(amount) AS s FROM loans l WHERE l.firm_id = f.firm_id) t ON true GROUP BY f.district
SELECT avg(n) FROM (SELECT firm_id, (SELECT count(*) FROM loans l WHERE l.firm_id = f.firm_id) AS n FROM firms f)
SELECT n, count(*) FROM (SELECT firm_id, least(count(*), 5) AS n FROM loans GROUP BY firm_id) GROUP BY n ORDER BY n
SELECT n, count(*) FROM (SELECT firm_id, count(DISTINCT industry) AS n FROM loans GROUP BY firm_id) t GROUP BY n ORDER BY n
SELECT district, count(*) FROM (SELECT firm_id, arg_max(district, year) AS district FROM loans GROUP BY firm_id) t GROUP BY district
SELECT industry, count(*) FROM (SELECT DISTINCT firm_id, industry FROM loans) t GROUP BY industry
SELECT district, count(*) AS borrowers FROM (SELECT DISTINCT firm_id, district FROM loans WHERE amount > 100000) GROUP BY district
SELECT sum(amount) FROM (SELECT firm_id, amount, row_number() OVER (PARTITION BY firm_id ORDER BY amount DESC, loan_id) AS r FROM loans) WHERE r <= 2
SELECT avg(share) FROM (SELECT firm_id, amount / sum(amount) OVER (PARTITION BY firm_id) AS share FROM loans) t
SELECT count(*) FROM (SELECT *, rank() OVER (PARTITION BY firm_id ORDER BY overdue_days DESC) AS r FROM loans) WHERE r = 1 AND overdue_days > 60
SELECT district, n, rank() OVER (ORDER BY n DESC) FROM (SELECT district, count(*) AS n FROM loans GROUP BY district)
SELECT district, count(*) AS n FROM loans GROUP BY district QUALIFY rank() OVER (ORDER BY count(*) DESC) <= 3
SELECT year, sum(amount) AS s, sum(sum(amount)) OVER (ORDER BY year) AS running FROM loans GROUP BY year ORDER BY year
SELECT year, count(*) AS n, count(*) - lag(count(*)) OVER (ORDER BY year) AS growth FROM loans GROUP BY year ORDER BY year
SELECT year, n, avg(n) OVER (ORDER BY year ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS ma FROM (SELECT year, count(*) AS n FROM loans WHERE year IS NOT NULL GROUP BY year) ORDER BY year
SELECT district, year, n, n / sum(n) OVER (PARTITION BY district) AS share FROM (SELECT district, year, count(*) AS n FROM loans GROUP BY ALL) ORDER BY ALL
SELECT district, ntile(4) OVER (ORDER BY count(*)) AS q FROM loans GROUP BY district
SELECT industry, count(*) AS n, dense_rank() OVER w AS r, percent_rank() OVER w AS p FROM loans GROUP BY industry WINDOW w AS (ORDER BY count(*) DESC)
SELECT 'all' AS k, count(*) FROM loans UNION ALL SELECT district, count(*) FROM loans GROUP BY district ORDER BY 2 DESC
SELECT district FROM loans GROUP BY district INTERSECT SELECT district FROM districts
SELECT district FROM districts EXCEPT SELECT district FROM firms GROUP BY district HAVING count(*) > 100
SELECT count(*) FROM (SELECT firm_id FROM loans INTERSECT SELECT firm_id FROM firms)
SELECT count(*) FROM (SELECT firm_id FROM firms EXCEPT SELECT firm_id FROM loans WHERE defaulted)
SELECT count(*) FROM (SELECT firm_id FROM firms UNION SELECT firm_id FROM loans)
SELECT count(*), sum(x) FROM (SELECT firm_id, amount AS x FROM loans UNION ALL SELECT firm_id, employees FROM firms)
SELECT src, count(*) FROM (SELECT firm_id, 'loan' AS src FROM loans UNION ALL SELECT firm_id, 'firm' AS src FROM firms) GROUP BY src
SELECT l1.year, count(*) FROM loans l1 JOIN loans l2 USING (firm_id) WHERE l2.year = l1.year + 1 GROUP BY l1.year
SELECT count(*) FROM loans a JOIN loans b ON a.firm_id = b.firm_id AND a.loan_id < b.loan_id WHERE a.defaulted AND b.defaulted
SELECT f.district, count(l.loan_id) FROM firms f LEFT JOIN loans l ON f.firm_id = l.firm_id GROUP BY f.district
SELECT f.district, count(*) FILTER (WHERE l.loan_id IS NULL) AS none FROM firms f LEFT JOIN loans l USING (firm_id) GROUP BY 1
SELECT coalesce(f.district, l.district) AS d, count(*) FROM firms f FULL JOIN loans l USING (firm_id) GROUP BY d
SELECT count(f.firm_id), count(l.firm_id) FROM firms f RIGHT JOIN loans l ON l.firm_id = f.firm_id
PIVOT loans ON year IN (2022, 2023) USING count(*) GROUP BY district
SELECT * FROM (PIVOT (SELECT industry, defaulted, amount FROM loans) ON defaulted IN (true, false) USING sum(amount) GROUP BY industry) ORDER BY industry
SELECT * EXCLUDE (total) FROM (SELECT district, count(*) AS n, sum(amount) AS total FROM loans GROUP BY district)
SELECT * REPLACE (round(total / 1e6, 2) AS total) FROM (SELECT district, sum(amount) AS total FROM loans GROUP BY district)
SELECT COLUMNS('n.*') FROM (SELECT district, count(*) AS n1, count(amount) AS n2 FROM loans GROUP BY district)
FROM loans SELECT count(*)
FROM (FROM loans WHERE year = 2023) SELECT district, sum(amount) GROUP BY ALL ORDER BY ALL
SELECT avg(interest) FROM (SELECT amount * rate / 100 AS interest FROM loans WHERE rate < 20)
SELECT 2 * count(*) AS a, a + 1 AS b FROM loans
VALUES (1, 'a'), (2, 'b')
SELECT region, string_agg(district, ', ' ORDER BY district) FROM districts GROUP BY region
SELECT * FROM districts WHERE region = 'North' ORDER BY district
SELECT count(*) FROM districts
SELECT i, i * i FROM range(5) t(i)
SELECT d.district, d.region, n.n FROM districts d LEFT JOIN (SELECT district, count(*) AS n FROM loans GROUP BY district) n USING (district) ORDER BY 1
SELECT 1 + 1 AS two, current_date AS today
-- expressions, text and dates
SELECT district AS 区, count(*) AS 贷款笔数 FROM loans GROUP BY 区 ORDER BY 贷款笔数 DESC
SELECT count(*) AS "笔 数" FROM loans WHERE industry = '制造业'
SELECT CASE WHEN overdue_days > 90 THEN '不良' WHEN overdue_days > 0 THEN '关注' ELSE '正常' END AS 五级分类, count(*) AS 笔数, sum(amount) AS 余额 FROM loans GROUP BY 五级分类
SELECT upper(district) AS d, count(*) FROM loans GROUP BY d
SELECT left(district, 1) AS initial, count(*) FROM loans GROUP BY initial ORDER BY initial
SELECT district[1] AS initial, count(*) FROM loans GROUP BY 1
SELECT substring(industry, 1, 4) AS i, count(*) FROM loans GROUP BY i
SELECT length(industry) AS l, count(*) FROM loans GROUP BY l
SELECT concat(district, '-', industry) AS k, count(*) FROM loans WHERE year = 2023 GROUP BY k
SELECT district || '/' || year AS k, count(*) FROM loans GROUP BY k
SELECT replace(district, 'e', 'E') AS k, count(*) FROM loans GROUP BY k
SELECT trim(lower(district)) AS k, count(*) FROM loans GROUP BY k
SELECT count(*) FROM loans WHERE lower(district) = 'alder'
SELECT count(*) FROM loans WHERE district ILIKE '%or%'
SELECT count(*) FROM loans WHERE contains(industry, 'ech')
SELECT count(*) FROM loans WHERE TRY_CAST(amount AS INTEGER) > 1000
SELECT avg(amount::DOUBLE) FROM loans
SELECT sum(CAST(amount AS DECIMAL(18,0))) FROM loans
SELECT avg(amount)::INTEGER AS a FROM loans
SELECT round(avg(rate), 2) AS r FROM loans WHERE rate < 20
SELECT count(*) FROM firms WHERE founded BETWEEN '2000-01-01' AND '2010-12-31'
SELECT count(*) FROM firms WHERE founded >= DATE '2015-01-01' - INTERVAL 5 YEAR
SELECT count(*) FROM firms WHERE founded + INTERVAL '1 year' < DATE '2000-01-01'
SELECT avg(DATE '2024-01-01' - founded) AS days FROM firms
SELECT avg(datediff('day', founded, DATE '2024-01-01')) FROM firms
SELECT avg(date_part('year', founded)) FROM firms
SELECT year(founded) // 10 * 10 AS decade, count(*) AS n FROM firms GROUP BY decade ORDER BY decade
SELECT CAST(date_part('year', founded) AS INTEGER) AS y, count(*) FROM firms GROUP BY y
SELECT CASE WHEN founded < DATE '2000-01-01' THEN 'old' WHEN founded < DATE '2015-01-01' THEN 'middle' ELSE 'young' END AS age, count(*), avg(esg_score) FROM firms GROUP BY age
SELECT floor(date_diff('year', founded, DATE '2024-12-31') / 5) * 5 AS age, count(*) FROM firms GROUP BY 1
SELECT isodow(founded) AS d, count(*) FROM firms GROUP BY d
SELECT last_day(founded) AS d, count(*) AS n FROM firms WHERE founded >= '2020-01-01' GROUP BY d ORDER BY d
SELECT date_trunc('month', founded)::DATE AS m, count(*) FROM firms WHERE founded >= DATE '2022-01-01' GROUP BY m ORDER BY m
SELECT strftime(founded, '%Y-%m') AS m, count(*) FROM firms WHERE year(founded) = 2020 GROUP BY m
SELECT avg(ln(amount + 1)) FROM loans
SELECT exp(avg(ln(amount + 1))) AS geo FROM loans
SELECT floor(log10(amount + 1)) AS magnitude, count(*) FROM loans GROUP BY magnitude ORDER BY magnitude
SELECT sum(abs(amount - 50000)) FROM loans
SELECT avg(least(amount, 1000000)) FROM loans
SELECT avg(clamp(amount * rate, 0, 10000000)) FROM loans
SELECT avg(coalesce(amount, 0)) FROM loans
SELECT avg(nullif(overdue_days, 0)) FROM loans
SELECT avg(ifnull(overdue_days, 0)) FROM loans
SELECT sum(amount) / nullif(count(*), 0) FROM loans
SELECT sign(overdue_days) AS s, count(*) FROM loans GROUP BY s
SELECT sqrt(avg(power(esg_score - 50, 2))) FROM firms
SELECT sum(amount * (1 - 0.45 * defaulted::INT)) FROM loans
SELECT avg(defaulted::INT) AS pd FROM loans
SELECT avg(CAST(defaulted AS DOUBLE)) AS pd FROM loans
SELECT sum(defaulted) FROM loans
SELECT avg(if(defaulted, 1, 0)) FROM loans
SELECT count(*) FROM loans WHERE defaulted
SELECT count(*) FROM loans WHERE NOT defaulted AND overdue_days BETWEEN 1 AND 30
SELECT count(*) FROM loans WHERE (district, year) IN (('Alder', 2020), ('Birch', 2021))
SELECT count(*) FROM loans WHERE (district, year) = ('Alder', 2020)
SELECT count(*) FROM loans WHERE district = ANY (['Alder', 'Birch'])
SELECT count(*) FROM loans WHERE list_contains(['Alder', 'Birch'], district)
SELECT count(*) FROM loans WHERE year % 2 = 0
SELECT count(*) FROM loans WHERE mod(year, 2) = 1
SELECT count(*) FROM loans WHERE amount > 1_000_000
SELECT count(*) FROM loans WHERE amount > 1e6
SELECT count(*) FROM loans WHERE isnan(rate) OR rate IS NULL
SELECT count(*) FROM loans WHERE rate IS NOT DISTINCT FROM 5
SELECT greatest(count(*), 0) FROM loans
SELECT max(year) FROM loans
SELECT count(*) n, sum(amount) total FROM loans l WHERE l.year=2023
SELECT l.* FROM (SELECT year, count(*) FROM loans GROUP BY year) l
SELECT count(*) FILTER (WHERE amount > 1000000) * 100.0 / count(*) AS pct FROM loans
SELECT count(*)::VARCHAR || ' loans' FROM loans
SELECT district, round(100 * sum(amount) / sum(sum(amount)) OVER (), 1) AS pct FROM loans GROUP BY district
SELECT district, sum(amount) AS s FROM loans GROUP BY district HAVING s > 1e7 ORDER BY s
SELECT year, count(*) AS n FROM loans GROUP BY year ORDER BY n DESC NULLS LAST LIMIT 3 OFFSET 1
SELECT all count(*) FROM loans
SELECT (SELECT count(*) FROM loans) - (SELECT count(*) FROM firms) AS diff
SELECT CASE WHEN count(*) > 100 THEN 'many' ELSE 'few' END FROM loans
SELECT arg_max(district, n) FROM (SELECT district, count(*) AS n FROM loans GROUP BY district)
SELECT median(n) FROM (SELECT district, count(*) AS n FROM loans GROUP BY district)
SELECT corr(n, m) FROM (SELECT district, count(*) AS n, avg(amount) AS m FROM loans GROUP BY district)
-- spellings
SELECT count(DISTINCT (district, industry)) FROM loans
SELECT firm_id % 10 AS bucket, count(*) FROM loans GROUP BY bucket
WITH top AS (SELECT district, count(*) AS n FROM loans GROUP BY district ORDER BY n DESC LIMIT 3) SELECT t.district, avg(l.amount) FROM top t JOIN loans l ON l.district = t.district GROUP BY t.district
WITH top AS (SELECT district, count(*) AS n FROM loans GROUP BY district HAVING count(*) > 300) SELECT district, avg(l.amount) FROM loans l JOIN top USING (district) GROUP BY district
SELECT f.district, sum(l.amount) FROM firms f, loans l, districts d WHERE f.firm_id = l.firm_id AND d.district = f.district AND d.region = 'North' GROUP BY f.district
SELECT district, count(*) FROM loans JOIN districts USING (district) WHERE region = 'South' GROUP BY district
SELECT d.region, count(*) FROM loans l JOIN districts d USING (district) WHERE d.region IN ('South','North') GROUP BY d.region
SELECT n, count(*) FROM (SELECT firm_id, count(DISTINCT industry) AS n FROM loans GROUP BY firm_id) t GROUP BY n ORDER BY n
SELECT district[1] AS initial, count(*) FROM loans GROUP BY 1
SELECT strftime(founded, '%Y-%m') AS m, count(*) FROM firms WHERE year(founded) = 2020 GROUP BY m
SELECT year(founded) AS y, count(*) FROM firms WHERE extract(year FROM founded) BETWEEN 2010 AND 2015 GROUP BY y
SELECT date_trunc('quarter', founded)::DATE AS q, count(*) FROM firms WHERE year(founded) >= 2021 GROUP BY q
SELECT count(*) FROM loans WHERE (district, year) IN (('Alder', 2020), ('Birch', 2021))
SELECT count(*) FROM loans WHERE (district, year) NOT IN (('Alder', 2020), ('Birch', 2021))
SELECT count(*) FROM loans WHERE district = ANY (['Alder', 'Birch'])
SELECT count(*) FROM loans WHERE list_contains(['Alder', 'Birch'], district)
SELECT industry, count(DISTINCT (district, year)) AS cells FROM loans GROUP BY industry
SELECT avg(n) FROM (SELECT firm_id, count(DISTINCT (district, year)) AS n FROM loans GROUP BY firm_id)
WITH big AS (SELECT industry FROM loans GROUP BY industry HAVING sum(amount) > 2e7) SELECT l.industry, l.year, count(*) FROM loans l JOIN big b ON b.industry = l.industry GROUP BY 1, 2
SELECT count(*) FROM loans WHERE district IN (SELECT district FROM loans GROUP BY district HAVING count(*) > 300)
-- credit, ESG and data quality
SELECT CASE WHEN overdue_days = 0 THEN 'M0' WHEN overdue_days <= 30 THEN 'M1' WHEN overdue_days <= 60 THEN 'M2' WHEN overdue_days <= 90 THEN 'M3' ELSE 'M4+' END AS bucket, count(*) AS n, sum(amount) AS balance, avg(defaulted::INT) AS pd FROM loans WHERE overdue_days IS NOT NULL GROUP BY bucket ORDER BY bucket
WITH b AS (SELECT CASE WHEN rate < 4 THEN 1 WHEN rate < 6 THEN 2 WHEN rate < 8 THEN 3 ELSE 4 END AS bin, count(*) FILTER (WHERE defaulted) AS bad, count(*) FILTER (WHERE NOT defaulted) AS good FROM loans WHERE rate < 20 GROUP BY bin), t AS (SELECT sum(bad) AS tb, sum(good) AS tg FROM b) SELECT bin, ln((good / tg) / (bad / tb)) AS woe FROM b, t ORDER BY bin
WITH s AS (SELECT industry, sum(amount) AS a FROM loans GROUP BY industry), t AS (SELECT sum(a) AS total FROM s) SELECT sum(power(a / total, 2)) AS hhi FROM s, t
SELECT f.district, sum(l.amount) / sum(f.employees) AS per_head FROM loans l JOIN firms f USING (firm_id) GROUP BY f.district
SELECT CASE WHEN f.esg_score >= 70 THEN 'A' WHEN f.esg_score >= 50 THEN 'B' WHEN f.esg_score >= 30 THEN 'C' ELSE 'D' END AS grade, count(DISTINCT l.firm_id) AS firms, sum(l.amount) AS exposure, sum(CASE WHEN l.defaulted THEN l.amount ELSE 0 END) / sum(l.amount) AS loss FROM loans l JOIN firms f ON f.firm_id = l.firm_id WHERE f.esg_score IS NOT NULL GROUP BY grade ORDER BY grade
SELECT regr_slope(l.rate, f.esg_score) AS slope FROM loans l JOIN firms f USING (firm_id) WHERE l.rate < 20
WITH f AS (SELECT firm_id, count(DISTINCT year) AS years FROM loans GROUP BY firm_id) SELECT years, count(*) AS firms FROM f GROUP BY years ORDER BY years
WITH f AS (SELECT firm_id, max(overdue_days) AS worst, sum(amount) AS debt FROM loans GROUP BY firm_id) SELECT CASE WHEN worst > 90 THEN 'npl' ELSE 'ok' END AS status, count(*) AS firms, sum(debt) AS debt, avg(debt) AS mean FROM f GROUP BY status
SELECT y, count(*) FROM (SELECT firm_id, min(year) FILTER (WHERE defaulted) AS y FROM loans GROUP BY firm_id) t WHERE y IS NOT NULL GROUP BY y ORDER BY y
SELECT avg(gap) FROM (SELECT year - lag(year) OVER (PARTITION BY firm_id ORDER BY year, loan_id) AS gap FROM loans WHERE year IS NOT NULL) t WHERE gap IS NOT NULL
SELECT count(*) FROM (SELECT loan_id, amount, avg(amount) OVER (PARTITION BY firm_id) AS m FROM loans) WHERE amount > 2 * m
SELECT district, avg(running) FROM (SELECT district, sum(amount) OVER (PARTITION BY firm_id ORDER BY year, loan_id) AS running FROM loans) GROUP BY district
SELECT year, count(*) AS first_loans FROM (SELECT year, row_number() OVER (PARTITION BY firm_id ORDER BY year, loan_id) AS k FROM loans WHERE year IS NOT NULL) WHERE k = 1 GROUP BY year ORDER BY year
SELECT a.year, count(*) AS migrated FROM loans a JOIN loans b ON a.firm_id = b.firm_id AND b.year = a.year + 1 AND a.overdue_days = 0 AND b.overdue_days > 30 GROUP BY a.year
SELECT d.region, l.industry, sum(l.amount) AS total, count(*) AS n FROM loans l JOIN districts d USING (district) GROUP BY ROLLUP (d.region, l.industry) ORDER BY ALL
SELECT d.region, avg(f.esg_score) AS esg, count(*) AS firms FROM firms f LEFT JOIN districts d ON d.district = f.district GROUP BY d.region ORDER BY esg DESC
SELECT r.region, coalesce(n.n, 0) AS n FROM (SELECT DISTINCT region FROM districts) r LEFT JOIN (SELECT region, count(*) AS n FROM firms JOIN districts USING (district) GROUP BY region) n USING (region) ORDER BY r.region
SELECT industry, sum(amount) FILTER (WHERE year = 2024) / nullif(sum(amount) FILTER (WHERE year = 2023), 0) - 1 AS growth FROM loans GROUP BY industry ORDER BY growth DESC
WITH y AS (SELECT year, sum(amount) AS s FROM loans WHERE year IS NOT NULL GROUP BY year) SELECT year, s, s / lag(s) OVER (ORDER BY year) - 1 AS growth FROM y ORDER BY year
WITH y AS (SELECT year, industry, count(*) AS n FROM loans GROUP BY year, industry) SELECT year, industry, n FROM y QUALIFY row_number() OVER (PARTITION BY year ORDER BY n DESC) = 1 ORDER BY year
SELECT count(*) AS n, count(*) FILTER (WHERE district IS NULL) AS no_district, count(*) FILTER (WHERE amount = 0) AS zero, count(*) FILTER (WHERE rate > 36) AS usury FROM loans
SELECT count(*) - count(DISTINCT loan_id) AS duplicates FROM loans
SELECT count(*) FROM firms WHERE founded > DATE '2020-01-01' AND firm_id IN (SELECT firm_id FROM loans WHERE year < 2020)
SELECT count(*) FROM firms f JOIN loans l USING (firm_id) WHERE l.year < year(f.founded)
SELECT count(*) FROM loans l WHERE NOT EXISTS (SELECT 1 FROM firms f WHERE f.firm_id = l.firm_id)
SELECT count(*) FROM loans l JOIN firms f USING (firm_id) WHERE l.district <> f.district
SELECT count(*) FROM loans l JOIN firms f USING (firm_id) WHERE l.district IS DISTINCT FROM f.district
SELECT year, sum(amount * rate / 100 * 0.9) AS net FROM loans WHERE rate BETWEEN 0 AND 20 GROUP BY year ORDER BY year
SELECT industry, sum(amount * CASE WHEN overdue_days > 90 THEN 0.5 WHEN overdue_days > 30 THEN 0.2 ELSE 0.01 END) AS provision FROM loans GROUP BY industry
SELECT sum(amount * least(overdue_days, 90) / 90.0) AS weighted FROM loans
SELECT CASE WHEN employees < 20 THEN '微型' WHEN employees < 300 THEN '小型' ELSE '中型' END AS 规模, count(*) AS 企业数, round(avg(esg_score), 2) AS 平均分 FROM firms WHERE employees IS NOT NULL GROUP BY 规模 ORDER BY 企业数 DESC
SELECT floor(rate) AS r, count(*) FROM loans WHERE rate >= 3 AND rate < 10 GROUP BY r ORDER BY r
SELECT cast(rate AS INTEGER) AS r, count(*) FROM loans WHERE rate < 20 GROUP BY r
SELECT CASE WHEN amount >= 1e6 THEN '>=1m' WHEN amount >= 1e5 THEN '100k-1m' ELSE '<100k' END AS tier, year, count(*) AS n FROM loans WHERE amount IS NOT NULL GROUP BY tier, year HAVING count(*) >= 10 ORDER BY year, tier
SELECT avg(age) FROM (SELECT date_diff('year', founded, current_date) AS age FROM firms WHERE founded IS NOT NULL)
SELECT median(employees) FROM firms
SELECT district, median(esg_score) AS m FROM firms GROUP BY district ORDER BY m DESC
SELECT quantile_cont(rate, 0.95) FROM loans WHERE rate < 20
SELECT district, quantile_cont(amount, 0.75) - quantile_cont(amount, 0.25) AS iqr FROM loans WHERE year = 2023 GROUP BY district
SELECT median(debt) FROM (SELECT firm_id, sum(amount) AS debt FROM loans GROUP BY firm_id)
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY overdue_days) FROM loans WHERE overdue_days > 0
SELECT corr(employees, esg_score) FROM firms
SELECT f.district, corr(f.employees, t.debt) FROM firms f JOIN (SELECT firm_id, sum(amount) AS debt FROM loans GROUP BY firm_id) t USING (firm_id) GROUP BY f.district
SELECT stddev_pop(amount) / avg(amount) AS cv FROM loans
SELECT (avg(amount * rate) - avg(amount) * avg(rate)) AS cov FROM loans WHERE rate < 20
SELECT district, count(*) * 1000.0 / (SELECT count(*) FROM loans) AS permille FROM loans GROUP BY district ORDER BY permille DESC LIMIT 5
SELECT * FROM (SELECT district, count(*) AS n, row_number() OVER (ORDER BY count(*) DESC) AS r FROM loans GROUP BY district) WHERE r <= 3
SELECT year, defaulted, count(*) FROM loans GROUP BY ALL ORDER BY ALL
SELECT sum(n) FILTER (WHERE n > 300) FROM (SELECT district, count(*) AS n FROM loans GROUP BY district)
SELECT l.district, f.district AS home, count(*) FROM loans l JOIN firms f USING (firm_id) GROUP BY l.district, f.district HAVING count(*) > 20
SELECT f.firm_id IS NULL AS orphan, count(*) FROM loans l LEFT JOIN firms f USING (firm_id) GROUP BY orphan
SELECT count(*) FROM loans WHERE district IN (SELECT district FROM districts WHERE region = 'East') AND firm_id IN (SELECT firm_id FROM firms WHERE employees > 100)
UNPIVOT (SELECT sum(amount) FILTER (WHERE year = 2022) AS y22, sum(amount) FILTER (WHERE year = 2023) AS y23 FROM loans) ON y22, y23 INTO NAME year VALUE total
PIVOT (SELECT district, industry FROM loans WHERE industry IN ('Energy','Finance')) ON industry IN ('Energy', 'Finance') USING count(*) GROUP BY district ORDER BY district
SELECT year, count(*) FROM loans GROUP BY year UNION SELECT year(founded), count(*) FROM firms GROUP BY 1 ORDER BY 1
(SELECT 'top' AS k, district, count(*) AS n FROM loans GROUP BY district ORDER BY n DESC LIMIT 1) UNION ALL (SELECT 'low', district, count(*) FROM loans WHERE district IS NOT NULL GROUP BY district ORDER BY 3 LIMIT 1)
SELECT e.district, e.n AS loans, c.n AS firms FROM (SELECT district, count(*) AS n FROM loans GROUP BY district) e FULL JOIN (SELECT district, count(*) AS n FROM firms GROUP BY district) c ON e.district = c.district ORDER BY 1
SELECT count(*) FROM firms f WHERE EXISTS (SELECT 1 FROM loans l WHERE l.firm_id = f.firm_id AND l.year = 2023) AND NOT EXISTS (SELECT 1 FROM loans l WHERE l.firm_id = f.firm_id AND l.year = 2024)
SELECT count(*) FROM firms f WHERE (SELECT sum(l.amount) FROM loans l WHERE l.firm_id = f.firm_id) > 10000 * f.employees
SELECT f.district, sum((SELECT count(*) FROM loans l WHERE l.firm_id = f.firm_id AND l.defaulted)) AS defaults FROM firms f GROUP BY f.district
-- quantiles
SELECT median(amount) FROM loans
SELECT industry, quantile_cont(amount, 0.25) AS q1, median(amount) AS q2, quantile_cont(amount, 0.75) AS q3 FROM loans WHERE industry IS NOT NULL GROUP BY industry
SELECT district, median(esg_score) AS m FROM firms GROUP BY district ORDER BY m DESC
SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY overdue_days) AS p90 FROM loans WHERE overdue_days > 0
SELECT quantile_disc(overdue_days, 0.9) FROM loans
SELECT district, quantile_cont(rate, 0.9) FROM loans WHERE rate < 20 GROUP BY district
SELECT median(employees) FROM firms
SELECT year, median(amount) FROM loans GROUP BY year
SELECT quantile_cont(amount, 0.9), quantile_cont(amount, 0.99) FROM loans
SELECT defaulted, median(overdue_days) FROM loans GROUP BY defaulted
