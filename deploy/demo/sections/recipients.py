"""Recipients of the data are told of an erasure (Art. 19): one answers, one never does, and the person has the list."""

import asyncio
from collections.abc import Mapping
from typing import Any

from deploy.demo.board import SubmittedRequest
from deploy.demo.client import DsrClient
from deploy.demo.finding import Section
from deploy.local import postgres_databases as databases

_SILENT, _TALKS, _PROMPT = "carrier", "collector", "mailer"
"""Recipients of ``policy/parties.toml``: one never answers, one says that it has done the same, one that it knows."""
_WITHIN = 30
# Which day is the tenth working day depends on the weekends and holidays since: so it is some days more.
_TIME_PASSES = """
WITH moved AS (
    UPDATE deadline.recipient_notice AS n
    SET told_at = n.told_at - past.days, concerned_at = n.concerned_at - past.days,
        said_until = n.said_until - past.days, next_notice_at = now()
    FROM (SELECT next_notice_at - now() + interval '5 days' AS days FROM deadline.recipient_notice
          WHERE request_id = $1 AND recipient = $2) AS past
    WHERE n.request_id = $1 AND n.recipient = $2 AND n.told_at IS NOT NULL
    RETURNING n.request_id, n.recipient, n.told_at, n.concerned_at
)
UPDATE intake.recipient_notice AS n SET told_at = m.told_at, concerned_at = m.concerned_at
FROM moved AS m WHERE n.request_id = m.request_id AND n.recipient = m.recipient
RETURNING n.recipient
"""


async def recipients(client: DsrClient, dsn: str, request: SubmittedRequest, *, mailed: bool) -> Section:
    """Tell them, let weeks pass for the one that is silent, and read the list; ``mailed``: a mail server tells some."""
    request_id = request.request_id
    section = Section(f"Who else was told: {request.part.person.name}'s erasure (Art. 19)")
    if mailed:
        await client.follow(request_id, _all_arrived, "/recipients", within=_WITHIN)
    first = await _listed(client, request_id)
    to_tell = [name for name, each in first.items() if each["state"] in {"to_be_told", "underway"}]
    for name in to_tell:
        await _enter(client, request_id, "told", recipient=name)
    await _enter(client, request_id, "reply", recipient=_PROMPT, reply="acknowledged")
    await _enter(client, request_id, "reply", recipient=_TALKS, reply="done")
    for name, each in first.items():
        waits = "no mail server here to take their notice: " if each["state"] == "underway" else ""
        how = f"{waits}a person tells them, and enters it" if name in to_tell else "told with the answer"
        section.say(f"{each['name']:36} {each['role']}, {each['country']}: {how}")
    reached = []
    for far in ("1 reminders", "2 reminders", "overdue"):
        await _passes(dsn, request_id)
        reached.append(await _follow(client, request_id, far))
    letters = await client.letters(request_id)
    kinds = [letter["kind"] for letter in letters]
    written = [kinds.count("recipient_notice"), kinds.count("recipient_reminder")]
    section.find(
        written == [len(first), 2] and all(reached),
        f"{first[_SILENT]['name']} is silent: reminded after 10 and 20 working days, put before people after 30",
    )
    section.say("  (the demonstration dates the notice back instead of waiting)")
    waiting = (await client.get("/v1/recipient-notices", params={"limit": 1000})).raise_for_status().json()["to_do"]
    late = [each["recipient"] for each in waiting if each["request_id"] == request_id and each["overdue"]]
    section.find(late == [_SILENT], "it stands on the list of what the privacy team has to see to")
    await _enter(client, request_id, "reply", recipient=_SILENT, reply="done")
    section.say(
        f"asked by telephone they have done the same; the person reads: GET /v1/requests/{request_id}/recipients"
    )
    last = await _listed(client, request_id)
    for each in last.values():
        section.say(f"  {each['name']:36} {each['state']:13} {each['categories'].partition(':')[0]}")
    states = {name: each["state"] for name, each in last.items()}
    section.find(states == {_PROMPT: "acknowledged", _TALKS: "done", _SILENT: "done"}, "nobody is left untold")
    return section


async def _listed(client: DsrClient, request_id: str) -> Mapping[str, Mapping[str, Any]]:
    listed = (await client.read(request_id, "/recipients"))["recipients"]
    return {str(each["recipient"]): each for each in listed}


async def _enter(client: DsrClient, request_id: str, step: str, **said: str) -> None:
    (await client.decide(request_id, f"recipients/{step}", said)).raise_for_status()


async def _passes(dsn: str, request_id: str) -> None:
    """Time passes for the silent one until something is to be said again, once it is known that they were told."""
    async with asyncio.timeout(_WITHIN):
        while True:
            if await databases.fetch(dsn, _TIME_PASSES, request_id, _SILENT):
                return
            await asyncio.sleep(0.1)  # deadline hears of it from the bus


async def _follow(client: DsrClient, request_id: str, far: str) -> bool:
    """Waits until the silent one is that far; whether they ever are."""
    try:
        await client.follow(request_id, lambda view: _far(view) == far, "/recipients", within=_WITHIN)
    except TimeoutError:
        return False
    return True


def _all_arrived(view: Mapping[str, Any]) -> bool:
    return all(each["state"] != "underway" for each in view["recipients"])


def _far(view: Mapping[str, Any]) -> str:
    [silent] = [each for each in view["recipients"] if each["recipient"] == _SILENT]
    return "overdue" if silent["overdue"] else f"{silent['reminders']} reminders"
