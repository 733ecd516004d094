-- What waits for a channel that was changed is tried at once: not by who changes it, it may be very much.
ALTER TABLE channels ADD COLUMN changed boolean NOT NULL DEFAULT false;
