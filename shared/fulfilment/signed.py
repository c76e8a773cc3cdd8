"""What waits for the signature of a rule goes on by itself once that is there: nobody has to remember to try it again.

Only the tasks that wait for nothing else are taken up, as far as two persons had confirmed before: whatever else stops
them stops them again. What is due by other rules than those without a signature is taken up on its own day.
"""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from shared.domain.errors import GroundInvalid, RuleUnsigned
from shared.domain.policy import Policy
from shared.fulfilment import precedence
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import hold
from shared.messaging.unit_of_work import UnitOfWorkFactory

_FAILURES: Final = (RuleUnsigned.code, GroundInvalid.code)
_AT_A_TIME: Final = 500

# What another request of the person holds goes on with that. Before it was written for which rules it waits,
# all had to be signed.
_LEFT = """
SELECT t.task_id, t.fulfilment_id FROM task t JOIN fulfilment f USING (fulfilment_id)
WHERE t.state = 'failed' AND t.failure = ANY($1) AND NOT t.observes AND f.state IN ('open', 'blocked') AND NOT f.held
  AND (CASE WHEN t.why ? 'rules' THEN NOT (t.why -> 'rules') ?| $2 ELSE t.failure = $5 AND cardinality($2) = 0 END
       OR (t.why ->> 'again')::date < $4)
LIMIT $3
"""
# By and by, should another process have read the policy without the signature.
_GO_ON = """
UPDATE task SET state = 'ready', failure = NULL, why = NULL,
                not_before = $2::timestamptz + least(interval '1 hour', interval '1 second' * 2 ^ least(attempt, 12))
WHERE task_id = ANY($1) AND state = 'failed' AND failure = ANY($3)
RETURNING fulfilment_id, system, operation
"""
_REOPEN = """
UPDATE fulfilment SET state = 'open' WHERE fulfilment_id = ANY($1) AND state = 'blocked'
RETURNING request_id, operation
"""


def unsigned(policy: Policy, now: datetime) -> list[str]:
    """The rules that nobody has signed, where the controller is or where their days are counted."""
    here = policy.today(now)
    days = {name: {here, now.astimezone(ZoneInfo(policy.zone_of(rule))).date()} for name, rule in policy.rules.items()}
    return sorted(name for name, rule in policy.rules.items() if not all(map(rule.signed, days[name])))


async def go_on(unit_of_work: UnitOfWorkFactory, fulfilments: Fulfilments) -> None:
    """Takes up again what waits for no signature any more, or for which a day has come."""
    policy, now = unit_of_work.policy, unit_of_work.clock.now()
    waits_for = (_FAILURES, unsigned(policy, now), _AT_A_TIME, policy.today(now), RuleUnsigned.code)
    if not await unit_of_work.pool.fetch(_LEFT, *waits_for):
        return
    async with unit_of_work.begin() as tx:
        left = await tx.connection.fetch(_LEFT, *waits_for)
        withdrawn = await hold(tx, {row[1] for row in left})
        tasks = [row[0] for row in left if row[1] not in withdrawn]
        again = await tx.connection.fetch(_GO_ON, tasks, tx.now, _FAILURES)
        ids = sorted({row[0] for row in again})
        for request_id, operation in await tx.connection.fetch(_REOPEN, ids):
            tx.log_evidence(request_id, "fulfilment.resumed", {"operation": operation})
        await precedence.postponed(tx, fulfilments.postpone, ids)
        for _, system, operation in again:
            fulfilments.wake(tx, (system, operation))
