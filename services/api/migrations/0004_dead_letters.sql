-- What became of a letter, and whether its message can be sent again. A message that is given up again is the same letter.

ALTER TABLE dead_letters
    ADD COLUMN durable    text NOT NULL DEFAULT '',      -- whose reader gave it up; empty where it was never sent
    ADD COLUMN state      text NOT NULL DEFAULT 'dead' CHECK (state IN ('dead', 'retried', 'dropped')),
    ADD COLUMN times      integer NOT NULL DEFAULT 1,    -- that it was given up
    ADD COLUMN retries    integer NOT NULL DEFAULT 0,
    ADD COLUMN last_at    timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN burial     text NOT NULL DEFAULT '',      -- id of the newest letter of it: one that comes twice counts once
    ADD COLUMN decided_by text,                          -- who had it sent again or dropped it
    ADD COLUMN decided_at timestamptz,
    ADD COLUMN told_at    timestamptz;                   -- when people were last told of it
CREATE INDEX dead_letters_dead ON dead_letters (position) WHERE state = 'dead';
CREATE INDEX dead_letters_told ON dead_letters (durable, told_at) WHERE told_at IS NOT NULL;
