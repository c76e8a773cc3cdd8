-- Who does not answer is reminded, and told at last that we go on without them (REQ-T9).
ALTER TABLE question
    ADD COLUMN next_notice_at timestamptz,      -- null: answered, closed, or everything was told
    ADD COLUMN reminded_until timestamptz,      -- the instant of the last reminder that was told
    ADD COLUMN last_notice_at timestamptz;      -- when the last notice was told

-- What is open already is looked at once, and dated then.
UPDATE question SET next_notice_at = asked_at WHERE answered_at IS NULL;

-- A look costs what is due, not what is open.
CREATE INDEX question_next_notice ON question (next_notice_at) WHERE next_notice_at IS NOT NULL;
