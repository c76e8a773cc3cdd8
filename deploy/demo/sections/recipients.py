"""Recipients of the data are told of an erasure (Art. 19): two answer, one never does, and the person has the list."""

from collections.abc import Mapping
from typing import Any

from deploy.demo.board import SubmittedRequest
from deploy.demo.client import DsrClient
from deploy.demo.finding import Section
from deploy.local import postgres_databases as databases

_SILENT, _TALKS, _PROMPT = "mailer", "collector", "carrier"
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
    await client.follow(request_id, lambda view: _all(view, mailed=mailed), "/recipients", within=_WITHIN)
    first = await _listed(client, request_id)
    requests = {each["digest_id"]: each["requests"] for each in await _open(client)}
    for name, each in first.items():
        how = "told by e-mail"
        if each["state"] != "told":
            waits = "no mail server here to take it, so " if each["state"] == "underway" else ""
            how = f"{waits}a person tells them the digest of the day, and enters it"
            await _enter(client, each, "told")
        many = f" ({requests[each['digest_id']]} requests)" if each["digest_id"] in requests else ""
        section.say(f"{each['name']:36} {each['role']}, {each['country']}: {how}{many}")
        if name != _SILENT:
            await _enter(client, each, "reply", reply="done" if name == _TALKS else "acknowledged")
    silent, reached = first[_SILENT], []
    for far, days in (("reminded", _WEEKS), ("overdue", _MORE_WEEKS)):
        await databases.fetch(dsn, _TIME_PASSES, days)
        reached.append(await _follow(client, request_id, far))
    section.find(all(reached), f"{silent['name']} is silent: reminded once after 10 working days, then a person's task")
    section.say("  (the demonstration dates the digests back instead of waiting)")
    late = [each["digest_id"] for each in await _open(client) if each["overdue"]]
    section.find(silent["digest_id"] in late, "it stands on the list of what the privacy team has to see to")
    await _enter(client, silent, "reply", reply="done")
    section.say(
        f"asked by telephone they have done the same; the person reads: GET /v1/requests/{request_id}/recipients"
    )
    last = await _listed(client, request_id)
    for each in last.values():
        section.say(f"  {each['name']:36} {each['state']:13} {each['categories'].partition(':')[0]}")
    states = {name: each["state"] for name, each in last.items()}
    section.find(states == {_PROMPT: "acknowledged", _TALKS: "done", _SILENT: "done"}, "each has heard and answered")
    return section


async def _listed(client: DsrClient, request_id: str) -> Mapping[str, Mapping[str, Any]]:
    listed = (await client.read(request_id, "/recipients"))["recipients"]
    return {str(each["recipient"]): each for each in listed}


async def _open(client: DsrClient) -> list[Mapping[str, Any]]:
    answer = (await client.get("/v1/recipient-digests", params={"limit": 1000})).raise_for_status()
    return list(answer.json()["digests"])


async def _enter(client: DsrClient, notice: Mapping[str, Any], step: str, **said: str) -> None:
    answer = await client.post(f"/v1/recipient-digests/{notice['digest_id']}/{step}", json=said or None)
    answer.raise_for_status()


async def _follow(client: DsrClient, request_id: str, far: str) -> bool:
    """Waits until the silent one is that far; whether they ever are."""
    try:
        await client.follow(request_id, lambda view: _is(view, far), "/recipients", within=_WITHIN)
    except TimeoutError:
        return False
    return True


def _all(view: Mapping[str, Any], *, mailed: bool) -> bool:
    """Whether each has a digest, and was sent it where mails go out."""
    listed = view["recipients"]
    return all(each["digest_id"] and not (mailed and each["state"] == "underway") for each in listed)


def _is(view: Mapping[str, Any], far: str) -> bool:
    [silent] = [each for each in view["recipients"] if each["recipient"] == _SILENT]
    return bool(silent["overdue"] if far == "overdue" else silent["reminded_at"])
