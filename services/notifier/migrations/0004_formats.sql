-- Webhooks may be told CDEvents.
ALTER TABLE channels ADD COLUMN format text NOT NULL DEFAULT 'events';
ALTER TABLE notifications ADD COLUMN outside text NOT NULL DEFAULT ''; -- the CDEvent that is told, made of the event; '': the event itself
