-- Which systems a request has reports of, as an array: its statistics tell a rare system from a common one, also of what is closed.
CREATE FUNCTION request_systems(tasks jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_agg(DISTINCT task ->> 'system') FROM jsonb_array_elements(tasks) AS task
$$;
ALTER TABLE request ADD COLUMN systems text[] GENERATED ALWAYS AS (request_systems(tasks)) STORED;
DROP INDEX request_open_system;
CREATE INDEX request_open_systems ON request USING gin (systems) WHERE state <> 'closed' AND systems IS NOT NULL;
CREATE INDEX request_closed_systems ON request USING gin (systems) WHERE closed_at IS NOT NULL AND systems IS NOT NULL;

-- The letter with the newest code on paper of a request; the code of each earlier one is void. Without a row that of its acknowledgement is good.
CREATE TABLE paper_code (
    request_id uuid PRIMARY KEY,
    letter_id  uuid NOT NULL
);
