-- chain: ten tables, each reading the one before; no ideal.
-- @source sales
-- @generate
SELECT 'chain_' || i, 'id', format('SELECT id, customer, amount + 1 AS amount FROM %s WHERE amount >= %s', CASE i WHEN 1 THEN 'item' ELSE 'chain_' || i - 1 END, i)
FROM generate_series(1, 10) i
