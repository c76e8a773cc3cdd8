-- Of a system that restricts a person by one flag: who bore it already when a restriction of ours began. While others of ours
-- are in force the flag may be theirs, so what the first of them has seen counts. No reference means anything elsewhere.
CREATE TABLE restriction_flag (
    request_id uuid    NOT NULL,
    system     text    NOT NULL,
    reference  text    NOT NULL,
    was_set    boolean NOT NULL,
    PRIMARY KEY (request_id, system, reference)
);
CREATE INDEX restriction_flag_reference ON restriction_flag (system, reference);
