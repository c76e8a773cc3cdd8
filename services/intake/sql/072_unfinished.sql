-- What is closed and not done: its answer has not reached the person, or a part of it is still owed. It is open to the privacy team.
ALTER TABLE request ADD COLUMN unfinished boolean NOT NULL GENERATED ALWAYS AS (
    state = 'closed' AND (responded_at IS NULL OR renewing OR owed AND outcome IS NOT DISTINCT FROM 'partially_fulfilled'
        AND jsonb_path_exists(coalesce(tasks, '[]'), '$[*] ? (exists(@.failure) || !exists(@.outcome))'))) STORED;
CREATE INDEX request_unfinished ON request (due_on, request_id) WHERE unfinished;
