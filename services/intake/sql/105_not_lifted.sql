-- Contract: takes nothing away: `waits` is there again when this is committed.
-- What a closed request has restricted and a system has not lifted is a person's, however the request has ended.
ALTER TABLE request DROP COLUMN waits;
ALTER TABLE request ADD COLUMN waits text GENERATED ALWAYS AS (CASE
    WHEN package_fault IS NOT NULL AND package_gone IS DISTINCT FROM package_id THEN 'package'
    WHEN proof_conflict AND state <> 'in_progress' THEN 'person'
    WHEN state = 'closed' THEN CASE
        WHEN jsonb_path_exists(coalesce(tasks, '[]'), '$[*] ? (@.operation == "lift"
            && (exists(@.failure) || !exists(@.outcome)))') THEN 'person'
        WHEN outcome IN ('fulfilled', 'partially_fulfilled', 'assisted')
        AND jsonb_path_exists(coalesce(tasks, '[]'), '$[*] ? (@.outcome == "retained"
            && (exists(@.failure) || exists(@.kept[*] ? (exists(@.period) && !exists(@.first)))))') THEN 'person' END
    WHEN held IS NOT NULL THEN 'brake'
    WHEN postponed THEN 'others'
    WHEN state = 'awaiting_identity' THEN 'proof'
    WHEN state = 'awaiting_clarification' THEN 'reply'
    WHEN state = 'awaiting_decision' THEN 'person'
END) STORED;
CREATE INDEX request_waits ON request (waits, due_on, request_id) WHERE waits IS NOT NULL;
