-- What a stream may have lost is counted in the relay's own rounds: the database's time may be set, and goes on while the machine sleeps.

ALTER TABLE outbox ADD COLUMN sent_round bigint;  -- in which round it was sent; none: by a relay that did not count them
ALTER TABLE outbox_streams ADD COLUMN round bigint NOT NULL DEFAULT 0;  -- the last round of which all is well
