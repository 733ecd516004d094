-- Expand: the release before this one neither reads nor writes the column, so both can serve at once.
ALTER TABLE todos ADD COLUMN completed_at timestamptz;

-- undo
ALTER TABLE todos DROP COLUMN completed_at;
