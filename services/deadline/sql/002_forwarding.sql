-- What a customer of ours decides about: when they got it, and how far they were reminded until they said something.
CREATE TABLE forwarding (
    request_id     uuid PRIMARY KEY,
    due_on         date,                    -- of a part of a request: by when it is to be passed on; null: all of it is theirs,
    due_at         timestamptz,             -- and its clock says so; exclusive end
    forwarded_at   timestamptz,
    calendar       text        NOT NULL,    -- whose working days count
    ended_at       timestamptz,             -- the customer has replied, or the subject wants nothing any more
    next_notice_at timestamptz,             -- null: ended, or everything was said
    said_until     timestamptz              -- the instant of the last notice that was said
) WITH (fillfactor = 80);
CREATE INDEX forwarding_next_notice ON forwarding (next_notice_at) WHERE next_notice_at IS NOT NULL;
-- Figures of parts alone: what is all theirs has a clock that is counted.
CREATE INDEX forwarding_part ON forwarding (due_at) WHERE due_on IS NOT NULL AND forwarded_at IS NULL AND ended_at IS NULL;
CREATE INDEX forwarding_part_done ON forwarding (forwarded_at) INCLUDE (due_at) WHERE due_on IS NOT NULL;
