"""All SQL of auth: one module a table. Functions take a connection (of the caller's transaction) or the pool."""
