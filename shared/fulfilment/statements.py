"""The statements by which fulfilments are opened, moved on and tried again."""

UNSEARCHED = """
UPDATE fulfilment f SET state = 'open', held = false
WHERE f.request_id = ANY($1) AND f.state = 'blocked' AND EXISTS (
    SELECT 1 FROM task t WHERE t.fulfilment_id = f.fulfilment_id AND t.state = 'done' AND t.receipt ? 'not_searched'
       AND NOT t.at_once)
RETURNING f.fulfilment_id, f.request_id, f.operation, f.due_on,
          (SELECT max(t.stage) + 1 FROM task t WHERE t.fulfilment_id = f.fulfilment_id),
          (SELECT array_agg(DISTINCT t.system) FROM task t WHERE t.fulfilment_id = f.fulfilment_id AND NOT t.observes),
          (SELECT array_agg(DISTINCT t.system) FROM task t WHERE t.fulfilment_id = f.fulfilment_id AND NOT t.observes
              AND NOT t.at_once AND t.operation = f.operation
              AND (t.state IN ('waiting', 'failed') OR t.receipt ? 'not_searched')),
          (SELECT bool_and(t.receipt ->> 'not_searched' = 'not_proved') FROM task t
           WHERE t.fulfilment_id = f.fulfilment_id AND t.state = 'done' AND t.receipt ? 'not_searched'
              AND NOT t.at_once),
          f.tenant
"""
# What was done in part stays on the report; what it left unsearched is now the matter of the task that follows it.
SUPERSEDED = """
UPDATE task SET receipt = receipt - 'not_searched' - 'level',
                state = CASE WHEN state = 'done' AND receipt ->> 'outcome' <> 'not_searched' THEN 'done'
                             ELSE 'cancelled' END
WHERE fulfilment_id = $1 AND NOT at_once AND (state IN ('waiting', 'failed') OR receipt ? 'not_searched')
"""
TRIED_AGAIN = """
UPDATE fulfilment SET state = 'open', held = false
WHERE request_id = ANY($1) AND (state = 'blocked' OR state = 'open' AND held) RETURNING fulfilment_id
"""
# A dry run is never stopped: what could not be asked is what it says. What is owed stops nothing behind it, as long as
# everybody is located and nothing must be searched anew: what yields identities may go then, since they are kept until
# nothing is owed any more.
STANDING = """
SELECT f.fulfilment_id, count(*) FILTER (WHERE t.state IN ('ready', 'leased')) AS open,
       count(*) FILTER (WHERE f.operation <> 'plan' AND (t.state = 'failed' OR t.state = 'waiting' AND f.held
                        OR t.state = 'done' AND t.receipt ? 'not_searched')) AS stuck,
       count(*) FILTER (WHERE t.state = 'waiting') AS waiting,
       f.details ? 'owed' AND NOT f.held AND bool_and(CASE t.state WHEN 'done' THEN NOT t.receipt ? 'not_searched'
           WHEN 'failed' THEN t.operation <> 'locate' ELSE true END)
       AS passes
FROM fulfilment f JOIN task t USING (fulfilment_id)
WHERE f.fulfilment_id = ANY($1) AND f.state = 'open' AND NOT t.observes AND NOT t.at_once GROUP BY f.fulfilment_id
"""
# What a person does by hand stays with them, unless the system shows whether they have.
READY = """
UPDATE task t SET state = CASE WHEN theirs THEN 'failed' ELSE 'ready' END,
                  failure = CASE WHEN theirs THEN t.failure END,
                  why = CASE WHEN theirs THEN t.why END, not_before = $2
FROM (SELECT task_id, stage, min(stage) OVER (PARTITION BY fulfilment_id) AS next,
             coalesce(failure = 'not_supported', false) AND NOT coalesce(why ? 'looks_again', false) AS theirs
      FROM task WHERE fulfilment_id = ANY($1) AND state = $3) stuck
WHERE t.task_id = stuck.task_id AND stuck.stage = stuck.next AND t.state = $3
RETURNING t.system, t.operation, t.state = 'failed'
"""
# What was confirmed, and whose instruction it is, holds for the request, whatever is done about it later.
EARLIER = """
SELECT request_id, max(opened_at) + interval '1 microsecond', (array_agg(confirmed ORDER BY opened_at DESC))[1],
       max(tenant)
FROM fulfilment WHERE request_id = ANY($1) GROUP BY 1
"""
CONFIRMED = """
UPDATE fulfilment SET confirmed = confirmed || jsonb_build_object($2::text,
    coalesce(confirmed -> $2::text, '{}') || jsonb_build_object($3::text,
        greatest((confirmed -> $2::text ->> $3::text)::bigint, $4::bigint)))
WHERE request_id = $1
"""
OWED = """
UPDATE fulfilment f SET details = details || '{"owed": true}', state = CASE WHEN NOT held AND EXISTS (
    SELECT FROM task t WHERE t.fulfilment_id = f.fulfilment_id AND t.state = 'waiting') THEN 'open' ELSE state END
WHERE request_id = ANY($1) AND operation = $2 AND state IN ('open', 'blocked')
  AND NOT details ?| ARRAY['deferred', 'repair']
RETURNING fulfilment_id
"""
AGAIN = """
UPDATE task t SET state = 'ready', failure = NULL, why = NULL, not_before = $3 FROM fulfilment f
WHERE f.request_id = $1 AND f.state IN ('open', 'blocked') AND t.fulfilment_id = f.fulfilment_id
  AND t.system = $2 AND t.state = 'failed' AND t.failure <> 'not_supported'
RETURNING f.fulfilment_id, t.system, t.operation
"""
