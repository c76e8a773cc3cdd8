-- What we are for the data, and which rules, policy and holidays the due date was computed with: a later version redates what is open.
ALTER TABLE request
    ADD COLUMN role         text NOT NULL DEFAULT 'controller',
    ADD COLUMN calc_version text NOT NULL DEFAULT '';
