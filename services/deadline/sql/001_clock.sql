-- The clock of each request: dates computed once (REQ-T3), how far its milestones were told, and when it stopped.
CREATE TABLE clock (
    request_id        uuid PRIMARY KEY,
    subject_ref       uuid        NOT NULL,
    "right"           text        NOT NULL,
    received_at       timestamptz NOT NULL,
    zones             text[]      NOT NULL,     -- the controller's and the subject's
    calendar          text        NOT NULL,
    due_on            date        NOT NULL,     -- the commitment, or a shorter limit of our own
    due_at            timestamptz NOT NULL,     -- exclusive end, as the statutory one
    work_by           date        NOT NULL,
    statutory_due_on  date        NOT NULL,
    statutory_due_at  timestamptz NOT NULL,
    calc_version      text        NOT NULL,
    told_until        timestamptz,              -- the instant of the last milestone that was told
    next_milestone_at timestamptz,              -- null: stopped, or everything was told
    responded_at      timestamptz,
    outcome           text,
    timeliness        text CHECK (timeliness IN ('on_time', 'late_commitment', 'breach')),
    traceparent       text
) WITH (fillfactor = 80);

-- A sweep costs what is due, not what is open.
CREATE INDEX clock_next_milestone ON clock (next_milestone_at) WHERE next_milestone_at IS NOT NULL;
