-- Rows come in the order of time and go by age: a summary a block is enough to find the old ones, and costs a write nothing.

DROP INDEX inbox_taken_at;
CREATE INDEX inbox_taken_at ON inbox USING brin (taken_at);
DROP INDEX outbox_created_at;
CREATE INDEX outbox_created_at ON outbox USING brin (created_at);
