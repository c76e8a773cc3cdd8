-- What a request waits for, in a word, for the queue of the privacy team: also what was closed and has its package withheld.
ALTER TABLE request ADD COLUMN waits text GENERATED ALWAYS AS (CASE
    WHEN package_fault IS NOT NULL AND package_gone IS DISTINCT FROM package_id THEN 'package'
    WHEN state = 'closed' THEN NULL
    WHEN held IS NOT NULL THEN 'brake'
    WHEN postponed THEN 'others'
    WHEN state = 'awaiting_identity' THEN 'proof'
    WHEN state = 'awaiting_clarification' THEN 'reply'
    WHEN state = 'awaiting_decision' THEN 'person'
END) STORED;
CREATE INDEX request_waits ON request (waits, due_on, request_id) WHERE waits IS NOT NULL;
CREATE INDEX request_open_right ON request ("right", due_on, request_id) WHERE state <> 'closed';
CREATE INDEX request_open_system ON request USING gin (tasks jsonb_path_ops) WHERE state <> 'closed' AND tasks IS NOT NULL;
