-- Whom a request concerns beside us (Art. 19), and how far they were reminded until they said something.
CREATE TABLE recipient_notice (
    request_id     uuid        NOT NULL,
    recipient      text        NOT NULL,    -- as the policy names it
    calendar       text        NOT NULL,    -- whose working days count
    concerned_at   timestamptz NOT NULL,
    told_at        timestamptz,             -- null: a person has to tell them
    ended_at       timestamptz,             -- they have said something, or are not to be told
    next_notice_at timestamptz,             -- null: ended, or everything was said
    said_until     timestamptz,             -- the instant of the last notice that was said
    PRIMARY KEY (request_id, recipient)
);
CREATE INDEX recipient_notice_next ON recipient_notice (next_notice_at) WHERE next_notice_at IS NOT NULL;
