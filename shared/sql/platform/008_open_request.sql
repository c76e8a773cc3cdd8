-- Requests of which another one of the same person may have to know before it goes on, for as long as that matters: copies that
-- are awaited, restrictions that oppose an erasure, erasures that have begun. Of an erasure that is over they
-- tell whose earlier requests have left something. Who asks is known by keyed hashes alone.
CREATE TABLE vault.open_request (
    request_id uuid  NOT NULL,
    kind       text  NOT NULL CHECK (kind IN ('copy', 'restriction', 'erasure', 'erased')),
    type       text  NOT NULL,              -- of the identity that is hashed
    mark       bytea NOT NULL,
    PRIMARY KEY (request_id, mark)
);
CREATE INDEX open_request_mark ON vault.open_request (mark);
