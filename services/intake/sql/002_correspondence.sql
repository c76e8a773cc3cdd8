-- What changes the time limit of a request: a question that is open, an extension; and the letters that tell the subject.
ALTER TABLE request
    ADD COLUMN zones       text[] NOT NULL DEFAULT '{}',     -- the controller's and the subject's, as of the receipt
    ADD COLUMN calendar    text   NOT NULL DEFAULT '',
    ADD COLUMN extended    boolean NOT NULL DEFAULT false,
    ADD COLUMN question_id uuid,                             -- the question that is open, if one is
    ADD COLUMN finished    text;                             -- outcome of the work that ended while a question was open

CREATE TABLE extension (
    request_id  uuid PRIMARY KEY,           -- once: a further extension is none (REQ-T5)
    reason      text        NOT NULL,
    explanation uuid        NOT NULL,       -- in the vault: words of a person about a person
    new_due     date        NOT NULL,
    proposed_by text        NOT NULL,
    proposed_at timestamptz NOT NULL,
    approved_by text,
    approved_at timestamptz
);

CREATE TABLE letter (
    letter_id  uuid PRIMARY KEY,            -- its text is in the vault under this id
    request_id uuid        NOT NULL,
    kind       text        NOT NULL,
    written_at timestamptz NOT NULL
);
CREATE INDEX letter_request ON letter (request_id);
