-- Bodies are kept as they came: compressing them was a third of what storing a delivery costs, and they go after two weeks.
ALTER TABLE deliveries ALTER COLUMN body SET STORAGE EXTERNAL;

-- Rows come in the order of time and go by age: a summary a block is enough to find the old ones, and costs a write nothing.
DROP INDEX deliveries_received_at;
CREATE INDEX deliveries_received_at ON deliveries USING brin (received_at);
DROP INDEX changes_created_at;
CREATE INDEX changes_created_at ON changes USING brin (created_at);
