-- What was done, in order, each entry holding the hash of the one before; nothing here is ever changed.
CREATE SCHEMA evidence;

CREATE TABLE evidence.head (
    chain text PRIMARY KEY,
    seq   bigint NOT NULL,
    hash  bytea  NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE evidence.entry (
    chain      text        NOT NULL,
    seq        bigint      NOT NULL,
    at         timestamptz NOT NULL,
    request_id uuid        NOT NULL,
    actor      text        NOT NULL,
    action     text        NOT NULL,
    detail     text        NOT NULL,    -- canonical JSON, kept as written so that the hash can be recomputed
    prev_hash  bytea       NOT NULL,
    hash       bytea       NOT NULL,
    PRIMARY KEY (chain, seq)
);
CREATE INDEX entry_request ON evidence.entry (request_id);

CREATE FUNCTION evidence.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'evidence is append-only';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON evidence.entry
    FOR EACH STATEMENT EXECUTE FUNCTION evidence.refuse_change();
