"""Who has no account: what is filed by an account id alone has nothing of whom those who find accounts do not know."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from shared.domain.operations import TaskOutcome, Unsearched
from shared.downstreams.contract import NotSearched, Receipt, Result
from shared.downstreams.downstream import Downstream
from shared.fulfilment.queue import Claim
from shared.storage.postgres import Connection

# A person who has looked by hand has entered how much there is, and no account.
_LOOKED = """
SELECT fulfilment_id FROM task
WHERE fulfilment_id = ANY($1) AND operation = 'locate' AND system = ANY($2) AND NOT observes AND state <> 'cancelled'
GROUP BY fulfilment_id
HAVING count(DISTINCT system) = $3
   AND bool_and(state = 'done' AND receipt ->> 'outcome' IN ('located', 'no_match') AND NOT receipt ? 'by_hand')
"""


def lacks_account(result: Result) -> bool:
    """Whether it, or a part of it, was not searched since no account is known."""
    reason = result.reason if isinstance(result, NotSearched) else getattr(result, "not_searched", None)
    return reason is Unsearched.NO_ACCOUNT


async def without_account(
    connection: Connection, system: Downstream, claims: Sequence[Claim], results: Mapping[UUID, Result]
) -> Mapping[UUID, Result]:
    """The results that say more now: nothing is there of whoever has no account in any system that would have told it.

    Where one of those could not be searched itself, or nobody else finds such accounts, it stays unknown.
    """
    lacking = [claim for claim in claims if lacks_account(results[claim.task_id])]
    finding = sorted(system.accounts_found_by)
    rows = await connection.fetch(_LOOKED, [claim.fulfilment_id for claim in lacking], finding, len(finding))
    looked = {row[0] for row in rows}
    held: Sequence[str] = getattr(system.adapter, "categories", ())
    return {c.task_id: _nothing(results[c.task_id], held) for c in lacking if c.fulfilment_id in looked}


def _nothing(result: Result, categories: Sequence[str]) -> Result:
    """That nothing is there, in these kinds of data, or in those of it that are filed by an account alone."""
    if isinstance(result, NotSearched):
        held = tuple(sorted(categories)) or None
        return Receipt(result.task_id, TaskOutcome.NO_MATCH, categories=held, no_account=held)
    if not isinstance(result, Receipt):
        return result
    unsearched = result.by_account or tuple(sorted({*categories} - {*(result.categories or categories)}))
    return replace(result, not_searched=None, no_account=unsearched or None)
