-- What was sent after the oldest message in the stream came still waits there, and is not sent again.
ALTER TABLE changes ADD COLUMN last_sent_at timestamptz NOT NULL DEFAULT now();
