-- To which project a delivery came, `<organization>/<project>`: the name of a connection that was removed may be another's now.
ALTER TABLE deliveries ADD COLUMN owner text NOT NULL DEFAULT '';
UPDATE deliveries SET owner = c.organization || '/' || c.project FROM connections c WHERE c.name = deliveries.connection;
