"""Recipients of the data are told of an erasure (Art. 19): two answer, one never does, and the person has the list."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from deploy.demo.board import SubmittedRequest
from deploy.demo.client import DsrClient
from deploy.demo.finding import Section
from deploy.local import postgres_databases as databases

_SILENT, _TALKS, _PROMPT = "carrier", "collector", "mailer"
"""Recipients of ``policy/parties.toml``: one never answers, one says that it has done the same, one that it knows."""
_WITHIN = 30
_TIME_PASSES = """
UPDATE intake.recipient_digest SET written_on = written_on - $1::int,
    written_at = written_at - make_interval(days => $1), told_at = told_at - make_interval(days => $1)
"""
_DAYS, _WEEKS, _MORE_WEEKS = 7, 30, 50
"""Days that pass: until the next digest, until a reminder, and until a person must look."""


async def recipients(client: DsrClient, dsn: str, request: SubmittedRequest, *, mailed: bool) -> Section:
    """Tell them, let weeks pass for the one that is silent, and read the list; ``mailed``: a mail server tells some."""
    request_id = request.request_id
    section = Section(f"Who else was told: {request.part.person.name}'s erasure (Art. 19)")
    await databases.fetch(dsn, _TIME_PASSES, _DAYS)
    await client.follow(request_id, _digested, "/recipients", within=_WITHIN)
    first = await _listed(client, request_id)
    waiting = await client.get("/v1/letters", params={"limit": 1000})
    to_post = {each["letter_id"] for each in waiting.raise_for_status().json()["data"] if each["way"] == "post"}
    for name, each in first.items():
        by_post = each["digest_id"] in to_post
        if by_post:
            async with asyncio.timeout(_WITHIN):
                while (await client.get(f"/v1/recipient-digests/{each['digest_id']}")).is_client_error:  # noqa: ASYNC110  # no event says so
                    await asyncio.sleep(0.1)
            (await client.decide(f"/v1/letters/{each['digest_id']}", "mark-posted")).raise_for_status()
        elif mailed:
            await client.follow(request_id, partial(_is, what="told_at", name=name), "/recipients", within=_WITHIN)
        how = "a person posts them the digest of the day" if by_post else "told by e-mail, by the digest of the day"
        how = how if by_post or mailed else "the digest of the day waits: no mail server here takes it"
        section.say(f"{each['name']:36} {each['role']}, {each['country']}: {how}")
        if name != _SILENT and (by_post or mailed):
            await _reply(client, each, "done" if name == _TALKS else "acknowledged")
    silent, reached = first[_SILENT], []
    for far, days in (("reminded_at", _WEEKS), ("overdue", _MORE_WEEKS)):
        await databases.fetch(dsn, _TIME_PASSES, days)
        reached.append(await _follow(client, request_id, far))
    section.find(all(reached), f"{silent['name']} is silent: reminded once after 10 working days, then a person's task")
    section.say("  (the demonstration dates the digests back instead of waiting)")
    asked = await client.get("/v1/recipient-digests", params={"limit": 1000})
    late = [each["digest_id"] for each in asked.raise_for_status().json()["data"]]
    section.find(silent["digest_id"] in late, "it stands on the list of what the privacy team has to see to")
    await _reply(client, silent, "done")
    section.say(
        f"asked by telephone they have done the same; the person reads: GET /v1/requests/{request_id}/recipients"
    )
    last = await _listed(client, request_id)
    for each in last.values():
        section.say(f"  {each['name']:36} {each['state']:13} {each['categories'].partition(':')[0]}")
    states = {name: each["state"] for name, each in last.items()}
    prompt = "acknowledged" if mailed else "underway"
    section.find(states == {_PROMPT: prompt, _TALKS: "done", _SILENT: "done"}, "each that was told has answered")
    return section


async def _listed(client: DsrClient, request_id: str) -> Mapping[str, Mapping[str, Any]]:
    listed = (await client.read(request_id, "/recipients"))["data"]
    return {str(each["recipient"]): each for each in listed}


async def _reply(client: DsrClient, notice: Mapping[str, Any], reply: str) -> None:
    answer = await client.decide(f"/v1/recipient-digests/{notice['digest_id']}", "record-reply", {"reply": reply})
    answer.raise_for_status()


async def _follow(client: DsrClient, request_id: str, far: str) -> bool:
    """Waits until the silent one is that far; whether they ever are."""
    try:
        await client.follow(request_id, lambda view: _is(view, far), "/recipients", within=_WITHIN)
    except TimeoutError:
        return False
    return True


def _digested(view: Mapping[str, Any]) -> bool:
    return all(each["digest_id"] for each in view["data"])


def _is(view: Mapping[str, Any], what: str, name: str = _SILENT) -> bool:
    [found] = [each for each in view["data"] if each["recipient"] == name]
    return bool(found[what])
