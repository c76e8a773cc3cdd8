-- Dates change by an event alone, and what they were stays (REQ-T3).
ALTER TABLE clock
    ADD COLUMN extended boolean NOT NULL DEFAULT false,
    ADD COLUMN pausing  boolean NOT NULL DEFAULT false;     -- a question that stops the statutory clock is open

CREATE TABLE clock_before (
    request_id       uuid        NOT NULL,
    replaced_at      timestamptz NOT NULL,
    cause            text        NOT NULL,
    due_on           date        NOT NULL,
    work_by          date        NOT NULL,
    statutory_due_on date        NOT NULL,
    calc_version     text        NOT NULL
);
CREATE INDEX clock_before_request ON clock_before (request_id);

-- What the requester was asked, from when it was sent until the answer was received (REQ-T7).
CREATE TABLE question (
    question_id        uuid PRIMARY KEY,
    request_id         uuid        NOT NULL,
    question           text        NOT NULL,
    asked_at           timestamptz NOT NULL,
    answered_at        timestamptz,
    condition_recorded boolean     NOT NULL
);
CREATE INDEX question_request ON question (request_id);

-- The digest of each day is opened once.
CREATE TABLE digest (
    day       date PRIMARY KEY,
    opened_at timestamptz NOT NULL
);

-- The digest counts what is open, and reads nothing else.
CREATE INDEX clock_open ON clock ("right", due_at) WHERE responded_at IS NULL;
