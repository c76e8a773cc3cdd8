-- Whom of the policy's recipients a request concerns (Art. 19): one notice each, followed until they have said something. What it
-- says is a letter; who the recipient is stands in the policy by that word.
CREATE TABLE recipient_notice (
    request_id   uuid        NOT NULL,
    recipient    text        NOT NULL,
    what         text        NOT NULL,      -- corrected, erased, restricted, lifted, stopped
    categories   text[]      NOT NULL,      -- of the policy
    state        text        NOT NULL,      -- to_be_told, told, acknowledged, done, impossible, disproportionate
    concerned_at timestamptz NOT NULL,
    told_at      timestamptz,
    settled_at   timestamptz,
    reminders    integer     NOT NULL DEFAULT 0,
    overdue_at   timestamptz,               -- they are silent, or nobody has told them, for longer than the policy waits
    waiver       text,                      -- impossible or disproportionate, proposed or approved
    explanation  uuid,                      -- why, sealed
    proposed_by  text,                      -- the key
    approved_by  text,
    PRIMARY KEY (request_id, recipient)
);
CREATE INDEX recipient_notice_open ON recipient_notice (concerned_at, request_id, recipient) WHERE settled_at IS NULL;
