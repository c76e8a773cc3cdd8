-- Restrictions that oppose an erasure of the same person, and who has decided that it begins all the same.
ALTER TABLE request ADD COLUMN opposed boolean NOT NULL DEFAULT false, ADD COLUMN ended_by uuid;
-- Who has asked has not shown who they are, and it is done all the same: so nothing is told that tells who is a customer.
ALTER TABLE request ADD COLUMN anonymous boolean NOT NULL DEFAULT false;
CREATE TABLE opposed_begin (
    request_id uuid        NOT NULL,         -- the erasure
    awaits     uuid[]      NOT NULL,         -- what it waited for then
    first      text        NOT NULL,         -- holders of two keys, who are two persons
    first_at   timestamptz NOT NULL,
    second     text,
    second_at  timestamptz,
    PRIMARY KEY (request_id, awaits)
);
