-- The newest change that was ignored because its change request is closed: it counts once it is told that it was opened again before.
ALTER TABLE change_requests ADD COLUMN held jsonb;
