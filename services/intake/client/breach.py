"""``dsr breach``: the record of a breach through the API, from when it is found until it is closed (Art. 33 and 34)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from services.intake.client import shapes
from services.intake.client.api import Api, run, told_by
from services.intake.client.deciding import (
    DryRun,
    Fields,
    How,
    Made,
    Yes,
    done,
    must_sit_there,
    put_before,
    rehearse,
    typed,
)
from services.intake.client.decisions import body, operation
from services.intake.client.output import AsJson, pairs, say, tell
from shared.domain.clock import SystemClock

breach = typer.Typer(help="Breaches: the record of Art. 33(5), through the API (DSR_API_URL, DSR_API_KEY).")
BreachId = Annotated[UUID, typer.Argument(metavar="BREACH_ID")]
_ALL, _ONE = "/v1/breaches", "/v1/breaches/{breach_id}"
_HOUR = 3600


@breach.command("list")
def list_breaches(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also all that are closed, however many there are.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print every open breach with its clock, the most urgent first, then those that were closed last."""

    async def work(api: Api) -> None:
        now, cursor = SystemClock().now(), None
        while True:
            page = told_by(await api.get(_ALL, cursor=cursor), shapes.BreachList)
            for each in page["breaches"]:
                tell(each) if as_json else say(heading(each, now))
            cursor = page["cursor"]
            if cursor is None:
                return
            if not everything:
                typer.echo("more are closed: --all", err=True)
                return

    run(work)


@breach.command()
def show(breach_id: BreachId, *, as_json: AsJson = False) -> None:
    """Print the whole record of a breach, with its words; whoever reads it is on record."""

    async def work(api: Api) -> None:
        found = told_by(await api.get(f"{_ALL}/{breach_id}"), shapes.BreachShown)
        tell(found) if as_json else say("\n".join(shown(found, SystemClock().now())))

    run(work)


@breach.command("open")
def enter(fields: Fields = None, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Enter a breach that was found elsewhere than by the platform; its 72 hours run from `found_at`."""
    _run("open", "POST", _ALL, None, fields, How(yes, dry_run, as_json))


@breach.command()
def own(breach_id: BreachId, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """See to a breach from now on; nobody who has handled the request may."""
    _run("own", "POST", f"{_ONE}/owner", breach_id, (), How(yes, dry_run, as_json))


@breach.command()
def record(
    breach_id: BreachId, fields: Fields = None, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """State what has happened, what it may lead to and what is done; what was stated before stays."""
    _run("record", "PUT", f"{_ONE}/record", breach_id, fields, How(yes, dry_run, as_json))


@breach.command()
def correct(
    breach_id: BreachId, fields: Fields = None, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Correct since when we are aware of a breach, and say why; the 72 hours run from then."""
    _run("correct", "POST", f"{_ONE}/awareness", breach_id, fields, How(yes, dry_run, as_json))


@breach.command()
def notify(
    breach_id: BreachId, fields: Fields = None, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Note that the authority was told, a customer who decides, or persons whom no letter reaches."""
    _run("notify", "POST", f"{_ONE}/notices", breach_id, fields, How(yes, dry_run, as_json))


@breach.command()
def assess(
    breach_id: BreachId, fields: Fields = None, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Propose whether the persons are told (Art. 34); somebody else must approve it."""
    _run("assess", "POST", f"{_ONE}/assessments", breach_id, fields, How(yes, dry_run, as_json))


@breach.command()
def approve(breach_id: BreachId, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Approve what was proposed, as neither its owner nor a handler of the request: the letters go out."""
    _run("approve", "POST", f"{_ONE}/assessments/{{assessment_id}}/approval", breach_id, (), How(yes, dry_run, as_json))


@breach.command("approve-notice")
def approve_notice(breach_id: BreachId, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Agree when somebody was told, where its date alone makes a notice timely: the first that waits for that."""
    _run("approve", "POST", f"{_ONE}/notices/{{notice_id}}/approval", breach_id, (), How(yes, dry_run, as_json))


@breach.command()
def close(
    breach_id: BreachId, fields: Fields = None, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Close a breach that one owns, once who had to be told was, and say why."""
    _run("close", "POST", f"{_ONE}/close", breach_id, fields, How(yes, dry_run, as_json))


def heading(found: Mapping[str, Any], now: datetime) -> str:
    """A breach in a line: its clock, who sees to it, and what it is about."""
    if found["closed_at"]:
        clock = f"closed {found['closed_at'][:10]}: {found['decision']}"
    elif found["told_at"]:
        clock = f"authority told {found['told_at'][:16]}Z"
    else:
        hours = (datetime.fromisoformat(found["notify_by"]) - now).total_seconds() / _HOUR
        clock = f"to be told by {found['notify_by'][:16]}Z, " + (
            f"in {hours:.0f} h" if hours > 0 else f"{-hours:.0f} h late"
        )
    about = found["fault"] or ", ".join(found["categories"] or ()) or "not stated yet"
    said = f"{clock}; {about}".replace("_", " ")
    return f"{found['breach_id']}  {said}; owner: {found['owner'] or 'nobody'}"


def shown(found: Mapping[str, Any], now: datetime) -> list[str]:
    """The record of a breach, line by line."""
    lines = [heading(found["breach"], now)]
    lines += [f"  {name}: {_word(value)}" for name, value in (found["record"] or {}).items()]
    lines += [f"corrected: {pairs(each)}" for each in found["corrections"]]
    lines += [f"told: {pairs(each)}" for each in found["notices"]]
    if found["assessment"]:
        lines += ["whether the persons are told:"]
        lines += [f"  {name}: {_word(value)}" for name, value in found["assessment"].items() if value is not None]
    return [
        *lines,
        *(
            f"letter {each['letter_id']} of request {each['request_id']}: {each['state'] or 'to be fetched'}"
            for each in found["letters"]
        ),
    ]


def _word(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _run(name: str, method: str, place: str, breach_id: UUID | None, words: Sequence[str] | None, how: How) -> None:
    """Shows the record and what would be done about it, asks, and does it."""

    async def work(api: Api) -> None:
        decision = operation(told_by(await api.get("/openapi.json"), shapes.Document), method, place, name)
        sends = body(decision, typed(words or ()))
        must_sit_there(how)
        found = told_by(await api.get(f"{_ALL}/{breach_id}"), shapes.BreachShown) if breach_id else None
        path = place.replace("{breach_id}", str(breach_id)).replace("{assessment_id}", _proposed(found))
        path = path.replace("{notice_id}", _waiting(found))
        made = Made(decision, sends, path)
        asks = how.dry_run or not how.yes
        if asks:
            await rehearse(api, method, path, sends)
        if not asks or put_before(made, shown(found, SystemClock().now()) if found else [], how):
            done(made, told_by(await api.send(method, path, sends)), how)

    run(work)


def _proposed(found: Mapping[str, Any] | None) -> str:
    """The id of what is to be approved, if anything is; the API says that nothing is."""
    assessment = found and found["assessment"]
    return str(assessment["assessment_id"] if assessment else UUID(int=0))


def _waiting(found: Mapping[str, Any] | None) -> str:
    """The id of the first notice that waits for a second person, if any does; the API says that none does."""
    notices = (each for each in (found["notices"] if found else ()) if each["waits"])
    return str(next((each["notice_id"] for each in notices), UUID(int=0)))
