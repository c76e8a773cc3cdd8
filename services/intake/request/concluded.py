"""What the services have done for a request so far, as the evidence has it, whether or not they have ended."""

import orjson

from services.intake.request.stored_request import StoredRequest
from shared.domain.operations import ANSWERING, TaskReport
from shared.storage.postgres import Connection

_CONCLUDED = """
SELECT detail FROM evidence.entry WHERE request_id = $1 AND action = 'task.concluded' ORDER BY at, chain, seq
"""


async def reports(connection: Connection, request: StoredRequest) -> tuple[TaskReport, ...]:
    """The reports that the request has, and those of tasks that have done something since."""
    known = {task.task_id: task for task in request.tasks or ()}
    for (detail,) in await connection.fetch(_CONCLUDED, request.request_id):
        content = orjson.loads(detail)
        if (content.get("outcome") or content.get("changed")) and content["operation"] in ANSWERING:
            report = TaskReport.model_validate({"outcome": None, **content})
            known[report.task_id] = report
    return tuple(known.values())
