-- The clock of each request: its dates (REQ-T3), and whether it was answered in time.
CREATE TABLE clock (
    request_id        uuid PRIMARY KEY,
    subject_ref       uuid        NOT NULL,
    "right"           text        NOT NULL,
    role              text        NOT NULL,  -- what we are for the data: the controller or a processor
    scope             text,
    received_at       timestamptz NOT NULL,
    zones             text        NOT NULL,  -- the controller's and the subject's, separated by a comma
    calendar          text        NOT NULL,
    due_on            date        NOT NULL,  -- the commitment, or a shorter limit of our own
    due_at            timestamptz NOT NULL,  -- exclusive end, as the statutory one
    work_by           date        NOT NULL,
    statutory_due_on  date        NOT NULL,
    statutory_due_at  timestamptz NOT NULL,
    calc_version      text        NOT NULL,
    traceparent       text,
    promised_on       date,                  -- the day before it was extended; null: not extended
    pausing           boolean     NOT NULL DEFAULT false,  -- a question that stops the statutory clock is open
    met               text        NOT NULL DEFAULT '',     -- targets whose step was taken
    forwarded_at      timestamptz,           -- when a customer got it
    responded_at      timestamptz,
    outcome           text,
    timeliness        text CHECK (timeliness IN ('on_time', 'late_commitment', 'breach')),
    outstanding       text        NOT NULL DEFAULT ''  -- systems whose part is still owed though it was answered
) WITH (fillfactor = 55);  -- a target that is met touches no index where its page has room
-- Digest and daily alert read what is open, and nothing else.
CREATE INDEX clock_open ON clock ("right", due_at) WHERE responded_at IS NULL;
-- Figures are read from an index alone. Forwarded requests are counted separately, so each begins with the role.
CREATE INDEX clock_open_by_role ON clock (role, "right", received_at)
    INCLUDE (due_on, due_at, statutory_due_at) WHERE responded_at IS NULL;
CREATE INDEX clock_answered_by_role ON clock (role, responded_at)
    INCLUDE ("right", outcome, timeliness, promised_on, received_at) WHERE responded_at IS NOT NULL;
CREATE INDEX clock_due_by_role ON clock (role, due_at) INCLUDE ("right") WHERE promised_on IS NULL;
CREATE INDEX clock_extended ON clock (role, promised_on) INCLUDE ("right") WHERE promised_on IS NOT NULL;
CREATE INDEX clock_owed ON clock (due_at) INCLUDE ("right", received_at, due_on, statutory_due_at, outstanding)
    WHERE outstanding <> '';

-- When to look at a request next, and which steps were reported; each step is reported once. A system that had to keep
-- data when the rest was erased has a timer of kind 'retention', until the data may go (Art. 17(3)).
CREATE TABLE timer (
    request_id uuid NOT NULL,                -- all zeros: about every request, as the daily digest
    kind       text NOT NULL,
    ref        text NOT NULL DEFAULT '',     -- a question or a system
    due_at     timestamptz,                  -- null: nothing more is to come, or a person must say when
    reported   text NOT NULL DEFAULT '',
    detail     jsonb,                        -- of what was kept: by which rules, and by which version of the policy
    PRIMARY KEY (request_id, kind, ref)
) WITH (fillfactor = 80);
-- A look costs what is due, not what is open.
CREATE INDEX timer_due ON timer (due_at) WHERE due_at IS NOT NULL AND reported <> 'released';
CREATE INDEX timer_retention ON timer (ref) INCLUDE (due_at) WHERE kind = 'retention' AND reported <> 'done';

-- What the requester was asked, from when it was sent until the answer was received (REQ-T7).
CREATE TABLE question (
    question_id        uuid PRIMARY KEY,
    request_id         uuid        NOT NULL,
    question           text        NOT NULL,
    asked_at           timestamptz NOT NULL,
    answered_at        timestamptz,
    condition_recorded boolean     NOT NULL,
    in_time            boolean               -- asked without undue delay (REQ-T8); null: the clock did not run
);
CREATE INDEX question_request ON question (request_id);
CREATE INDEX question_answered ON question (answered_at) INCLUDE (question, asked_at) WHERE answered_at IS NOT NULL;
CREATE INDEX question_asked ON question (asked_at) INCLUDE (question, in_time) WHERE in_time IS NOT NULL;
