-- What others find of how requests are handled: complaints about an answer, and samples of mail in which a request was not recognised.
CREATE TABLE complaint (
    complaint_id uuid PRIMARY KEY,
    request_id   uuid        NOT NULL,
    lodged_with  text        NOT NULL,
    received_on  date        NOT NULL,
    note         uuid,                       -- in the vault, under the key of the request's letters
    entered_by   text        NOT NULL,
    entered_at   timestamptz NOT NULL,
    decision     text,                       -- null: open
    decided_on   date
);
CREATE INDEX complaint_request ON complaint (request_id);
CREATE INDEX complaint_received ON complaint (received_on);

CREATE TABLE intake_sample (
    month      date PRIMARY KEY,             -- its first day
    sampled    integer     NOT NULL,
    missed     integer     NOT NULL,
    entered_by text        NOT NULL,
    entered_at timestamptz NOT NULL
);

-- Figures of what was answered lately.
CREATE INDEX request_responded ON request (responded_at) WHERE responded_at IS NOT NULL;
