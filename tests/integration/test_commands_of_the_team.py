"""The commands of the privacy team go through the API of a real intake: requests, decisions of two, letters."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import orjson
import pytest

from services.cli import acting, api
from shared.domain import reference
from tests.fixtures.command import Command
from tests.fixtures.intake import Intake, approve, id_of

REQUEST = {"right": "access", "subject": {"email": "ada@example.org", "country": "DE"}}
PROOF = {"assurance": {"level": "L2", "method": "signed_in_mfa"}}


async def test_a_request_is_submitted_once_listed_followed_and_read(command: Command, intake: Intake) -> None:
    command.as_(intake.channel)
    sent = orjson.dumps({**REQUEST, **PROOF}).decode()
    first = await command("request", "submit", "--idempotency-key", "once-1", "--json", typed=sent)
    again = await command("request", "submit", "--idempotency-key", "once-1", "--json", typed=sent)
    [accepted] = first.values
    assert (first.status, again.values) == (0, [accepted]), first.err
    request_id = accepted["request_id"]
    several = await command("request", "submit", "--json", typed=orjson.dumps([{**REQUEST, **PROOF}] * 2).decode())
    assert len(several.values[0]["requests"]) == 2
    listed = await command("request", "list", "--json", "--limit", "2")
    assert (len(listed.values), listed.values[0]["request_id"]) == (2, request_id)
    assert listed.err == "there are more: --limit or --all\n"
    assert len((await command("request", "list", "--all", "--json")).values) == 3
    open_still = await command("request", "follow", request_id, "--within", "0s", "--json")
    assert (open_still.status, open_still.values[-1]["event"]) == (3, "state")
    assert "the request stands at in_progress after 0 seconds: follow it again" in open_still.err
    following = asyncio.create_task(command("request", "follow", request_id, "--json"))
    await intake.complete(f"/v1/requests/{request_id}")
    events = (await following).values
    assert (events[0]["event"], events[0]["action"]) == ("entry", "request.received")
    assert events[-1] == {"event": "state", "state": "closed", "outcome": "fulfilled", "due_on": accepted["due_on"]}
    assert len({orjson.dumps(each) for each in events}) == len(events), "each is printed once"
    followed = await command("request", "follow", request_id, "--text")
    assert followed.out.startswith(f"access {request_id}: closed: fulfilled, due")


async def test_progress_is_redrawn_on_a_terminal(
    command: Command, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    path = await intake.submit()
    shown = await command("request", "follow", id_of(path), "--within", "0s", "--text", sits_there=True)
    drawn, last = shown.out.split("\x1b[?25h")
    assert (shown.status, "in progress" in drawn, "in progress" in last) == (3, True, True)


async def test_decision_is_shown_and_needs_two_approvers(command: Command, intake: Intake, tmp_path: Path) -> None:
    path = await intake.submit()
    request_id = id_of(path)
    why = tmp_path / "why.txt"
    why.write_text("Ada asked for it every day.")
    refuse = ("act", "refuse", request_id, "--text", "reason=EXCESSIVE", "article=12(5)(b)", f"explanation=@{why}")
    shown = await command(*refuse, "--dry-run")
    assert (shown.status, "state: in_progress" in shown.out.splitlines()) == (0, True)
    assert "explanation: Ada asked for it every day." in shown.out
    unconfirmed = await command(*refuse)
    assert (unconfirmed.status, "--yes does it without" in unconfirmed.err) == (2, True)
    assert (await command(*refuse, typed="n\n", sits_there=True)).status == 130
    assert "decision.proposed" not in await intake.actions(path), "nothing is done without a confirmation"
    proposed = await command(*refuse, typed="y\n", sits_there=True)
    assert (proposed.status, "approval_id" in proposed.out.splitlines()[-1]) == (0, True)
    assert (await approve(intake.officer, path)).status_code == 409
    (await approve(intake.colleague, path)).raise_for_status()
    assert "answer_decided" in await intake.types()


async def test_dry_run_refuses_before_asking_for_confirmation(command: Command, intake: Intake) -> None:
    path = await intake.submit(assurance=None)
    ask = ("act", "ask", id_of(path), "--text")
    before = await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM evidence.entry")
    for how in (["--dry-run"], []):
        unclear = ("question=clarification", "text=Which number?")
        refused = await command(*ask, *unclear, *how, typed="y\n", sits_there=True)
        assert (refused.status, "dsr: " in refused.err, refused.out) == (1, True, "")
    shown = await command(*ask, "question=identity", "text=Which mailbox is yours?", "--dry-run")
    assert (shown.status, "Which mailbox is yours?" in shown.out) == (0, True)
    early = f"found_at={(intake.clock.at + timedelta(hours=1)).isoformat()}"
    refused = await command("act", "create", "incidents", early, "nature=confidentiality", "facts=A list.", "--dry-run")
    assert refused.status != 0
    assert await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM evidence.entry") == before


async def test_changed_decision_is_not_sent(command: Command, intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await intake.submit()
    withdraw = ("act", "withdraw", id_of(path), "--text")

    def answer() -> bool:
        changed = intake.ask(path, "clarification")
        asyncio.run_coroutine_threadsafe(changed, loop).result()
        return True

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(acting, "agreed", answer)
    ended = await command(*withdraw, sits_there=True)
    assert (ended.status, "decide about it as it stands now" in ended.err) == (1, True)
    assert (await intake.view(path))["state"] == "awaiting_clarification"
    assert (await command(*withdraw, "--yes")).out.startswith("withdraw: done")


async def test_wrong_input_is_reported_before_anything_is_sent(command: Command, intake: Intake) -> None:
    path = await intake.submit()
    for words, status, said in (
        (("refse",), 1, "there is no such action; there are"),
        (("refuse", "reason=EXCESSIVE"), 1, "article: "),
        (("withdraw", "why=so"), 1, "why: "),
        (("record-result", "system=crm", "found=many", "changed=0"), 2, "found is no text: write it as JSON (integer)"),
    ):
        name, *fields = words
        ended = await command("act", name, id_of(path), *fields, "--dry-run")
        assert (ended.status, said in ended.err, ended.err.count("\n")) == (status, True, 1), ended.err
    wrong = await command("act", "refuse", id_of(path), "reason=NONE", "article=12(5)(b)", "explanation=x", "--yes")
    assert (wrong.status, "reason: the reason, for access, is one of" in wrong.err) == (1, True)
    everything = await command("act", "--json")
    assert {"refuse", "retry", "verify", "extend", "approve"} <= {each["action"] for each in everything.values}
    actions = {each["action"]: each["does"] for each in everything.values}
    assert actions["withdraw-question"].startswith("Withdraw the question.")
    assert "there is no list nosuch: there are approvals, requests, holds" in (await command("list", "nosuch")).err
    assert (await intake.view(path))["state"] == "in_progress"


async def test_postal_letters_are_listed_printed_and_marked(command: Command, intake: Intake, tmp_path: Path) -> None:
    who = {"email": "ada@example.org", "country": "DE"}
    path = await intake.submit_shown("post", **{**REQUEST, **PROOF, "subject": who})
    address = ("lines=" + orjson.dumps(["Ada Quarzfels", "Musterstr. 1", "50667 Köln"]).decode(), "on_file_in=crm")
    assert (await command("act", "record-address", id_of(path), *address, "--yes")).status == 0
    [letter] = (await command("list", "letters", "--json")).values
    assert (letter["kind"], letter["way"], letter["state"]) == ("acknowledgement", "post", "waiting")
    pile = tmp_path / "pile.html"
    printed = await command("letters", "print", str(pile), "--text")
    assert (printed.out.split(), pile.stat().st_mode & 0o777) == ([letter["letter_id"]], 0o600)
    assert "Musterstr. 1" in pile.read_text()
    over = await command("letters", "print", str(pile))
    assert (over.status, "File exists: name another file" in over.err) == (1, True)
    things = [f"letters/{each}" for each in (letter["letter_id"], path.rpartition("/")[2])]
    posted = await command("act", "mark-posted", *things, "--yes")
    assert (posted.status, [each["state"] for each in posted.values]) == (1, ["sent"])
    assert "no such letter" in posted.err
    assert (await command("list", "letters", "--json")).values == []


async def test_command_errors_are_distinct(command: Command, intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PATIENCE_SECONDS", 0.1)
    path = await intake.submit()
    for named in (id_of(path), reference.of(UUID(id_of(path)))):
        assert f"access {id_of(path)}: in progress" in (await command("request", "show", named, "--text")).out
    command.key("dsr_000000000000_" + "A" * 43)
    refused = await command("request", "list")
    assert (refused.status, "the API key is unknown, was revoked or has expired" in refused.err) == (1, True)
    command.as_(intake.channel)
    forbidden = await command("list", "letters")
    assert (forbidden.status, "this needs a key with the role privacy" in forbidden.err) == (1, True)
    url = os.environ["DSR_API_URL"]
    monkeypatch.setenv("DSR_API_URL", f"{url}/docs")
    page = await command("request", "list")
    assert (page.status, "this API has no GET /docs/v1/requests: correct DSR_API_URL" in page.err) == (1, True), (
        page.err
    )
    monkeypatch.setenv("DSR_API_URL", "http://127.0.0.1:1")
    away = await command("request", "submit", typed="{}")
    assert (away.status, "--idempotency-key" in away.err) == (4, True), away.err


async def test_incident_goes_from_entry_to_closure(command: Command, intake: Intake, tmp_path: Path) -> None:
    said = tmp_path / "incident.json"
    words = {"facts": "A list was sent to Ada.", "effects": "None yet.", "measures": "It was called back."}
    said.write_text(orjson.dumps({**words, "people": 3, "records": 9, "controllers": ["us"]}).decode())
    at = intake.clock.at.isoformat()
    opened = "nature=confidentiality", "categories=call_record", f"found_at={at}"
    [found] = (await command("act", "create", "incidents", f"@{said}", *opened, "--yes", "--json")).values
    incident = found["incident_id"]
    names, listed = (await command("list", "incidents", "--text")).out.splitlines()
    assert (names.split()[0], listed.split()[0], "call_record" in listed) == ("INCIDENT_ID", incident, True)
    thing = f"incidents/{incident}"
    notice = (
        "act",
        "notified",
        thing,
        "whom=authority",
        "to=BlnBDI 521",
        f"notified_at={at}",
        "complete=true",
        "what=All of it.",
    )
    assert "  to: BlnBDI 521" in (await command(*notice, "--dry-run", "--text")).out.splitlines()
    assert (await command(*notice, "--yes")).status == 0
    none = ("act", "decide", thing, "risk=none", "reasons=It was not read.", "--yes", "--json")
    approve = ("act", "approve", f"approvals/{(await command(*none)).values[0]['approval_id']}")
    assert (await command(*approve, "--yes")).status == 1, "it takes two people"
    command.as_(intake.colleague)
    assert (await command(*approve, "--yes")).status == 0
    command.as_(intake.officer)
    closed = await command("act", "close", thing, "explanation=Done.", "--yes")
    assert closed.status == 0, closed.err
    assert "closed_at: 2026-03-0" in (await command("show", thing, "--text")).out
