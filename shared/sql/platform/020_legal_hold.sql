-- Data of a person that are not erased while a case needs them (Art. 17(3)(e), REQ-R9). Whom it is about is known by keyed hashes
-- alone, which go with the hold.
CREATE TABLE vault.legal_hold (
    hold_id     uuid PRIMARY KEY,
    case_number text        NOT NULL,
    owner       text        NOT NULL,        -- who answers for it: a reference to an account, no name
    reason      text        NOT NULL,        -- of the policy
    categories  text[]      NOT NULL,        -- of the policy; empty: all
    placed_at   timestamptz NOT NULL,
    review_on   date        NOT NULL,
    lift_asked_by text,                      -- the first of two persons that lift it
    lifted_at   timestamptz,
    lifted_by   text[]      NOT NULL DEFAULT '{}'
);
CREATE INDEX legal_hold_review ON vault.legal_hold (review_on) WHERE lifted_at IS NULL;

CREATE TABLE vault.hold_mark (
    hold_id uuid  NOT NULL,
    type    text  NOT NULL,                  -- of the identity that is hashed
    mark    bytea NOT NULL,
    PRIMARY KEY (hold_id, mark)
);
CREATE INDEX hold_mark_mark ON vault.hold_mark (mark);

-- What an erasure left in a system because of which holds, until one of those is lifted and it is asked again.
CREATE TABLE vault.hold_kept (
    task_id    uuid NOT NULL,
    hold_id    uuid NOT NULL,
    request_id uuid NOT NULL,
    system     text NOT NULL,
    PRIMARY KEY (task_id, hold_id)
);
CREATE INDEX hold_kept_hold ON vault.hold_kept (hold_id);
