-- A transaction that writes a source which was under capture before: a refresh
-- in it recomputes, and after it is rolled back or committed the next refresh
-- is right again.
SET client_min_messages = warning;
DROP TABLE IF EXISTS written CASCADE;
CREATE TABLE written (id int PRIMARY KEY, v int);
INSERT INTO written VALUES (1, 1), (2, 2);
SELECT plan(16);
SELECT lives_ok($$SELECT dyntable_create('written_total', 'SELECT count(*) AS n, sum(v) AS s FROM written', 'downstream', 'incremental')$$, 'a table');
SELECT lives_ok($$SELECT dyntable_create('written_over', 'SELECT s FROM written_total WHERE s > 0', 'downstream', 'incremental')$$, 'and one over it');

BEGIN;
INSERT INTO written VALUES (3, 3);
SELECT isnt((SELECT action FROM dyntable_refresh('written_total')), 'INCREMENTAL', 'own changes are not in the log yet: recomputed');
SELECT results_eq('TABLE written_total', 'VALUES (3::bigint, 6::bigint)', 'with the own change');
UPDATE written SET v = 30 WHERE id = 3;
SELECT isnt_empty($$SELECT * FROM dyntable_refresh('written_over')$$, 'again, in the same transaction');
SELECT results_eq('TABLE written_over', 'VALUES (33::bigint)', 'and what reads it');
ROLLBACK;

SELECT results_eq('TABLE written_total', 'VALUES (2::bigint, 3::bigint)', 'rolled back');
SELECT results_eq($$SELECT * FROM dyntable_verify('written_over')$$, 'VALUES (0::bigint, 0::bigint)', 'right after a rollback');

BEGIN;
INSERT INTO written VALUES (3, 3);
SELECT isnt_empty($$SELECT * FROM dyntable_refresh('written_over')$$, 'recomputed');
INSERT INTO written VALUES (4, 4);
COMMIT;

SELECT results_eq('TABLE written_over', 'VALUES (6::bigint)', 'committed');
SELECT results_eq($$SELECT * FROM dyntable_verify('written_over')$$, 'VALUES (0::bigint, 0::bigint)', 'the change after the refresh is not lost, that before it not doubled');
SELECT results_eq('TABLE written_total', 'VALUES (4::bigint, 10::bigint)', 'as the numbers say');
INSERT INTO written VALUES (5, 5);
SELECT results_eq($$SELECT name::text, action FROM dyntable_refresh('written_over')$$, $$VALUES ('written_total', 'INCREMENTAL'), ('written_over', 'INCREMENTAL')$$, 'then incrementally again');
SELECT results_eq('TABLE written_over', 'VALUES (15::bigint)', 'with the right result');

BEGIN;
SAVEPOINT a;
DELETE FROM written;
ROLLBACK TO a;
SELECT isnt_empty($$SELECT * FROM dyntable_refresh('written_over')$$, 'a change undone by a savepoint');
COMMIT;
SELECT results_eq($$SELECT * FROM dyntable_verify('written_over')$$, 'VALUES (0::bigint, 0::bigint)', 'leaves nothing behind');
SELECT * FROM finish();
DROP TABLE written CASCADE;
