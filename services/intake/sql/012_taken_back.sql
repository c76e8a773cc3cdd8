-- A proof that was found to be wrong after something had been answered by it: with two it counts no more.
CREATE TABLE proof_taken_back (
    request_id uuid        NOT NULL,
    identity   text        NOT NULL,         -- the field of the submission: no value
    first      text        NOT NULL,         -- holders of two keys, who are two persons
    first_at   timestamptz NOT NULL,
    second     text,
    second_at  timestamptz,
    PRIMARY KEY (request_id, identity)
);
