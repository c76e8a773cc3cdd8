"""What a person did in a system that cannot do it, or is gone: entered as the result of its task, signed like any."""

import base64
from collections.abc import Mapping, Sequence

import orjson

from shared.domain.events import TaskRecorded
from shared.domain.operations import DONE_BY_HAND, Operation
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import Conclude, hold
from shared.messaging.unit_of_work import UnitOfWork

_PLACE = "SELECT fulfilment_id FROM task WHERE task_id = ANY($1)"
_ENTER = """
UPDATE task SET state = 'done', receipt = $2::jsonb, failure = NULL, why = NULL
WHERE task_id = $1 AND (state IN ('waiting', 'failed') AND failure IN ('not_supported', 'system_retired')
    OR state = 'failed' AND operation = 'lift'
    OR state IN ('waiting', 'ready', 'failed') AND $2::jsonb ->> 'outcome' = 'no_longer_held'
    OR state = 'done' AND receipt ->> 'outcome' = 'not_searched' AND receipt ->> 'not_searched' = ANY($3))
RETURNING fulfilment_id
"""
_GO_ON = "UPDATE fulfilment SET state = 'open' WHERE fulfilment_id = ANY($1) AND state = 'blocked'"


async def record(
    fulfilments: Fulfilments,
    conclude: Mapping[Operation, Conclude],
    events: Sequence[TaskRecorded],
    tx: UnitOfWork,
) -> None:
    """Ends these tasks with what was entered, and moves on what waited for them.

    What waits no more, since the request was withdrawn or began anew meanwhile, is on record and changes nothing.
    """
    places = await tx.connection.fetch(_PLACE, [event.task.task_id for event in events])
    await hold(tx, {row[0] for row in places})
    ended = []
    for event in events:
        receipt = event.task.model_dump(mode="json", exclude_none=True, exclude={"sentence", "exceeded"})
        place = await tx.connection.fetchval(_ENTER, event.task.task_id, receipt, [*DONE_BY_HAND])
        if place is None:
            tx.log_evidence(event.request_id, "task.recorded_late", {"task_id": str(event.task.task_id)})
            continue
        ended.append(place)
        signed = orjson.dumps({"request_id": str(event.request_id), **receipt}, option=orjson.OPT_SORT_KEYS)
        signature = base64.b64encode(tx.vault.keyring.signing.sign(signed)).decode()
        tx.log_evidence(event.request_id, "task.concluded", {**receipt, "signature": signature})
    if ended:
        await tx.connection.execute(_GO_ON, ended)
        await fulfilments.fan_in(tx, ended, conclude)
