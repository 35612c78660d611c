-- sixty: 60 tables in three levels of 20; no ideal.
-- @source sales
-- @generate
SELECT format('level_%s_%s', l, i), CASE l WHEN 3 THEN 'customer' ELSE 'id' END, CASE l
    WHEN 1 THEN format('SELECT id, customer, amount FROM item WHERE kind = %s', i - 1)
    WHEN 2 THEN format('SELECT l.id, l.customer, l.amount, c.region FROM level_1_%s l JOIN customer c ON c.id = l.customer', i)
    ELSE format('SELECT customer, count(*) AS n, sum(amount) AS total FROM level_2_%s GROUP BY customer', i) END
FROM generate_series(1, 3) l, generate_series(1, 20) i
