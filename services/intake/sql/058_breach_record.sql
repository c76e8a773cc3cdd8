-- A breach as Art. 33(5) wants it documented, also one that was found elsewhere. What is said of it in words lies in the vault, under a
-- key that has the id of the breach.
ALTER TABLE breach
    ALTER COLUMN request_id DROP NOT NULL,   -- null: no request has to do with it
    ALTER COLUMN package_id DROP NOT NULL,
    ALTER COLUMN fault DROP NOT NULL,
    ADD COLUMN recorded_at timestamptz,      -- when its facts were last stated; null: nobody has
    ADD COLUMN categories  text[],           -- of the policy
    ADD COLUMN people      integer,          -- approximately, as are the records
    ADD COLUMN records     integer,
    ADD COLUMN told_at     timestamptz;      -- when whom Art. 33 names was told first
CREATE INDEX breach_request ON breach (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX breach_closed ON breach (closed_at) WHERE closed_at IS NOT NULL;

-- Whom one has told of a breach: the authority, a customer who decides about the data, or persons whom no letter reaches.
CREATE TABLE breach_notice (
    notice_id uuid PRIMARY KEY,              -- in the vault under this id: to whom, in which words
    breach_id uuid        NOT NULL,
    whom      text        NOT NULL,
    phase     text        NOT NULL,
    told_at   timestamptz NOT NULL,
    people    integer,
    noted_by  text        NOT NULL
);
CREATE INDEX breach_notice_breach ON breach_notice (breach_id);

-- Whether the persons are told (Art. 34), as its owner proposes and somebody else approves; the last one counts.
CREATE TABLE breach_assessment (
    assessment_id uuid PRIMARY KEY,          -- in the vault under this id: why, and in which words they are told
    breach_id     uuid        NOT NULL,
    high_risk     boolean     NOT NULL,
    exemption     text,                      -- of Art. 34(3)
    concerned     uuid[]      NOT NULL,      -- requests of those who are told by letter
    proposed_by   text        NOT NULL,
    proposed_at   timestamptz NOT NULL,
    approved_by   text,
    approved_at   timestamptz
);
CREATE INDEX breach_assessment_breach ON breach_assessment (breach_id);

CREATE TABLE breach_letter (
    breach_id  uuid NOT NULL,
    request_id uuid NOT NULL,
    letter_id  uuid NOT NULL,
    PRIMARY KEY (breach_id, request_id)
);
