"""``dsr incident``: the record of an incident through the API, from when it is found until it is closed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final
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
    list_of,
    must_sit_there,
    put_before,
    rehearse,
    typed,
)
from services.intake.client.decisions import body, decisions, named, operation
from services.intake.client.output import AsJson, pairs, say, tell
from shared.domain.clock import SystemClock

incident = typer.Typer(help="Incidents: the record of Art. 33(5), through the API (DSR_API_URL, DSR_API_KEY).")
IncidentId = Annotated[UUID, typer.Argument(metavar="INCIDENT_ID")]
_ALL, _ONE = "/v1/incidents", "/v1/incidents/{incident_id}/"
_HOUR: Final = 3600


@incident.command("list")
def list_incidents(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also all closed incidents, however many.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print every open incident with its clock, the most urgent first, then those closed last."""

    async def work(api: Api) -> None:
        now, cursor = SystemClock().now(), None
        while True:
            page = told_by(await api.get(_ALL, cursor=cursor), shapes.IncidentList)
            for each in page["incidents"]:
                tell(each) if as_json else say(heading(each, now))
            cursor = page["cursor"]
            if cursor is None:
                return
            if not everything:
                typer.echo("more are closed: --all", err=True)
                return

    run(work)


@incident.command()
def show(incident_id: IncidentId, *, as_json: AsJson = False) -> None:
    """Print the whole record of an incident, with its words; the evidence names the reader."""

    async def work(api: Api) -> None:
        found = told_by(await api.get(f"{_ALL}/{incident_id}"), shapes.IncidentShown)
        tell(found) if as_json else say("\n".join(shown(found, SystemClock().now())))

    run(work)


@incident.command("open")
def enter(fields: Fields = None, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Enter an incident that was found elsewhere than by the platform; its 72 hours run from `found_at`."""
    _run(None, "open", fields, How(yes, dry_run, as_json))


@incident.command()
def act(
    incident_id: IncidentId,
    step: Annotated[str | None, typer.Argument(help="Leave it out for a list of the steps and their fields.")] = None,
    fields: Fields = None,
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take a step: state facts, decide the risk, approve that, note who was notified, or close the incident."""
    _run(incident_id, step, fields, How(yes, dry_run, as_json))


def heading(found: Mapping[str, Any], now: datetime) -> str:
    """An incident in a line: its clock, what it is about, and its owner."""
    if found["closed_at"]:
        clock = f"closed {found['closed_at'][:10]}"
    elif found["told_at"]:
        clock = f"authority notified {found['told_at'][:16]}Z"
    else:
        hours = (datetime.fromisoformat(found["notify_by"]) - now).total_seconds() / _HOUR
        left = f"in {hours:.0f} h" if hours > 0 else f"{-hours:.0f} h late"
        clock = f"notify the authority by {found['notify_by'][:16]}Z, {left}"
    about = found["fault"] or ", ".join(found["categories"] or ()) or "not stated yet"
    return f"{found['incident_id']}  {clock}; {about.replace('_', ' ')}; owner: {found['owner'] or 'nobody'}"


def shown(found: Mapping[str, Any], now: datetime) -> list[str]:
    """The record of an incident, line by line."""
    lines = [heading(found, now)]
    for each in found["entries"]:
        known = {name: value for name, value in each.items() if value is not None and name != "said"}
        lines += [
            pairs(known),
            *(f"  {name}: {_word(value)}" for name, value in each["said"].items() if value is not None),
        ]
    return [*lines, *(f"letter: {pairs(each)}" for each in found["letters"])]


def _word(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _run(incident_id: UUID | None, name: str | None, words: Sequence[str] | None, how: How) -> None:
    """Shows the record and what would be done about it, asks, and does it; without a name, lists the steps."""

    async def work(api: Api) -> None:
        document = told_by(await api.get("/openapi.json"), shapes.Document)
        known = decisions(document, _ONE) if incident_id else {"open": operation(document, "POST", _ALL, "open")}
        if name is None:
            list_of(known, as_json=how.as_json)
            return
        decision, path = named(known, name), f"{_ALL}/{incident_id}" if incident_id else _ALL
        sends, shows = body(decision, typed(words or ())), list[str]()
        must_sit_there(how)
        sent_to = f"{path}/{decision.path}" if incident_id else path
        if asks := how.dry_run or not how.yes:
            await rehearse(api, "POST", sent_to, sends)
            if incident_id:
                shows = shown(told_by(await api.get(path), shapes.IncidentShown), SystemClock().now())
        made = Made(decision, sends, path)
        if not asks or put_before(made, shows, how):
            done(made, told_by(await api.send("POST", sent_to, sends)), how)

    run(work)
