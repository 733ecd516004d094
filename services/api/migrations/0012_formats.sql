-- What a webhook is told in: Slipway's own events, or CDEvents.
ALTER TABLE channels ADD COLUMN format text NOT NULL DEFAULT 'events' CHECK (format IN ('events', 'cdevents'));
