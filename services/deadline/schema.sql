-- The clock of each request: its dates (REQ-T3), how far its milestones were said, and when it stopped.
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
    extended          boolean     NOT NULL DEFAULT false,
    pausing           boolean     NOT NULL DEFAULT false,  -- a question that stops the statutory clock is open
    watched           boolean     NOT NULL DEFAULT true,  -- the staff's targets hold; not once it was answered
    flag_at           timestamptz,           -- when the CRM's contact is to be flagged; null: not, or done
    notified_until    timestamptz,           -- the instant of the last milestone that was said
    next_milestone_at timestamptz,           -- null: stopped, or everything was said
    next_target_at    timestamptz,           -- null: not watched, or every target was judged
    responded_at      timestamptz,
    outcome           text,
    timeliness        text CHECK (timeliness IN ('on_time', 'late_commitment', 'breach')),
    outstanding       text        NOT NULL DEFAULT ''  -- systems whose part is still owed though it was answered
) WITH (fillfactor = 80);
-- A sweep costs what is due, not what is open.
CREATE INDEX clock_next_milestone ON clock (next_milestone_at) WHERE next_milestone_at IS NOT NULL;
CREATE INDEX clock_next_target ON clock (next_target_at) WHERE next_target_at IS NOT NULL;
-- Digest and daily alert read what is open, and nothing else.
CREATE INDEX clock_open ON clock ("right", due_at) WHERE responded_at IS NULL;
-- Figures come out of an index alone. What we pass on is counted apart, so each begins with the role.
CREATE INDEX clock_open_by_role ON clock (role, "right", received_at)
    INCLUDE (due_on, due_at, statutory_due_at, calendar) WHERE responded_at IS NULL;
CREATE INDEX clock_answered_by_role ON clock (role, responded_at)
    INCLUDE ("right", outcome, timeliness, extended, received_at, calendar) WHERE responded_at IS NOT NULL;
CREATE INDEX clock_due_by_role ON clock (role, due_at) INCLUDE ("right") WHERE NOT extended;
CREATE INDEX clock_owed ON clock (due_at) INCLUDE ("right", received_at, due_on, statutory_due_at, calendar, outstanding)
    WHERE outstanding <> '';

-- Dates change by an event alone. The day that was promised before stays (REQ-T3); all that moved is on record.
CREATE TABLE clock_before (
    request_id uuid NOT NULL,
    cause      text NOT NULL,
    due_on     date NOT NULL
);
CREATE INDEX clock_before_extended ON clock_before (due_on, request_id) WHERE cause = 'extended';

-- What the requester was asked, from when it was sent until the answer was received (REQ-T7). Who does not answer is
-- reminded, and told at last that we go on without them (REQ-T9).
CREATE TABLE question (
    question_id        uuid PRIMARY KEY,
    request_id         uuid        NOT NULL,
    question           text        NOT NULL,
    asked_at           timestamptz NOT NULL,
    answered_at        timestamptz,
    condition_recorded boolean     NOT NULL,
    in_time            boolean,              -- asked without undue delay (REQ-T8); null: the clock did not run
    next_notice_at     timestamptz,          -- null: answered, closed, or everything was said
    reminded_until     timestamptz,          -- the instant of the last reminder that was said
    last_notice_at     timestamptz           -- when the last notice was said
);
CREATE INDEX question_request ON question (request_id);
CREATE INDEX question_next_notice ON question (next_notice_at) WHERE next_notice_at IS NOT NULL;
CREATE INDEX question_answered ON question (answered_at) INCLUDE (question, asked_at) WHERE answered_at IS NOT NULL;
CREATE INDEX question_asked ON question (asked_at) INCLUDE (question, in_time) WHERE in_time IS NOT NULL;

-- Steps stand by themselves, since the end of the work may be heard before the receipt: they come on two topics.
CREATE TABLE step (
    request_id uuid NOT NULL,
    step       text NOT NULL,
    PRIMARY KEY (request_id, step)
);

-- Each target is said once, however often its date is computed.
CREATE TABLE missed_target (
    request_id uuid NOT NULL,
    target     text NOT NULL,
    PRIMARY KEY (request_id, target)
);

-- What is said once a day: the digest and the daily alert.
CREATE TABLE notification (
    kind text NOT NULL,
    day  date NOT NULL,
    PRIMARY KEY (kind, day)
);

-- What a system had to keep of a subject when the rest was erased, until it may go (Art. 17(3)); one row per system.
CREATE TABLE deferral (
    request_id uuid NOT NULL,
    system     text NOT NULL,
    task_id    uuid NOT NULL,                -- the receipt that says so; a later one replaces it
    ground     text NOT NULL,
    until      date,                         -- the last day on which it may be kept; null: nobody knows
    due_at     timestamptz,                  -- when that day is over where the controller is
    state      text NOT NULL CHECK (state IN ('scheduled', 'held', 'released', 'done')),
    -- By which rules a system keeps what it keeps, from which anchor and for which period, and by which version of the policy its day was
    -- computed: a shorter rule holds at once.
    kept       jsonb,
    policy     text,
    PRIMARY KEY (request_id, system),
    CHECK (state <> 'scheduled' OR due_at IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX deferral_due ON deferral (due_at) WHERE state = 'scheduled';
CREATE INDEX deferral_open_figures ON deferral (system, state) INCLUDE (due_at) WHERE state <> 'done';
CREATE INDEX deferral_policy ON deferral (policy) WHERE state = 'scheduled' AND kept IS NOT NULL;

-- What was passed on to a customer of ours: when, and how far they were reminded until they replied.
CREATE TABLE forwarding (
    request_id     uuid PRIMARY KEY,
    forwarded_at   timestamptz NOT NULL,
    calendar       text        NOT NULL,     -- whose working days count
    ended_at       timestamptz,              -- the customer has replied
    next_notice_at timestamptz,              -- null: ended, or everything was said
    said_until     timestamptz               -- the instant of the last notice that was said
) WITH (fillfactor = 80);
CREATE INDEX forwarding_next_notice ON forwarding (next_notice_at) WHERE next_notice_at IS NOT NULL;
