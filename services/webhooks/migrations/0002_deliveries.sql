-- One delivery through two hooks of a connection is one: forges give an event the same id wherever they send it.
DELETE FROM deliveries later USING deliveries first
WHERE later.connection = first.connection AND later.event = first.event AND later.key = first.key
  AND (later.received_at, later.id) > (first.received_at, first.id);
ALTER TABLE deliveries DROP CONSTRAINT deliveries_connection_hook_key_key;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_identity UNIQUE (connection, event, key);

-- What was made of a delivery, also by a person who had it read again.
ALTER TABLE changes ADD COLUMN delivery text;
UPDATE changes SET delivery = message::json ->> 'delivery';
CREATE INDEX changes_delivery ON changes (delivery) WHERE delivery IS NOT NULL;
