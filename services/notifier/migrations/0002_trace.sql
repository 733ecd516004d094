-- Telling belongs to the trace of what is told.
ALTER TABLE notifications ADD COLUMN traceparent text NOT NULL DEFAULT '';
