-- Whoever has a page of portal or console open, by the hash of their cookie; what the session holds is sealed under a key that only the
-- cookie yields.
CREATE TABLE web_session (
    session_hash bytea PRIMARY KEY,
    site         text        NOT NULL,       -- portal or console
    principal    text,                       -- who has signed in: a holder of the console, a request of the portal
    sealed       bytea       NOT NULL,
    began_at     timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX web_session_expires ON web_session (expires_at);
CREATE INDEX web_session_principal ON web_session (principal) WHERE principal IS NOT NULL;
