"""Commands that switch downstream systems on and off; they join those about the downstreams file."""

import asyncio
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from shared.domain import topics as names
from shared.domain.errors import Misconfigured
from shared.domain.operations import Operation
from shared.domain.topics import ServiceName
from shared.messaging import admin, rights
from shared.messaging.rights import Acl, Teams
from shared.runtime.settings import KafkaSettings, WorkSettings
from shared.storage import systems
from shared.storage.postgres import PostgresSettings, connected
from shared.storage.systems import ObservedFinding
from shared.systems.bus.settings import BusSettings
from shared.systems.check import check
from shared.systems.commands import AsJson, downstreams
from shared.systems.file import in_use, read
from shared.systems.registry import Downstreams, Wiring

__all__ = ["downstreams"]

File = Annotated[Path | None, typer.Option("--file", help="The downstreams file, if not that of DSR_WORK_DOWNSTREAMS.")]
_WORD = r"[a-z][a-z0-9_]{0,39}"


@downstreams.command("list")
def list_systems(*, as_json: AsJson = False) -> None:
    """Print where each system stands and since when, the hash that was accepted, and how many it found meanwhile."""
    found = asyncio.run(_list(PostgresSettings.of_environment().dsn))
    if as_json:
        typer.echo(orjson.dumps(found))
    else:
        typer.echo("\n".join(_line(name, **system) for name, system in found.items()) or "no service has started yet")


@downstreams.command()
def on(
    name: str,
    file: File = None,
    *,
    file_only: Annotated[bool, typer.Option("--file-only", help="Do not look into the store.")] = False,
    as_json: AsJson = False,
) -> None:
    """Work a system from now on, as it is declared now: a new one, or one that is quarantined because it was changed.

    It is checked before. Prints the requests of whom a new one has something, for the privacy team: they were answered,
    or are being answered, without it.
    """
    found = asyncio.run(_on(name, _path(file), file_only=file_only))
    had = [each for each in found if each.found or each.outcome not in {"no_match", "located"}]
    if as_json:
        listed = [{"request_id": str(f.request_id), "outcome": f.outcome, "found": f.found} for f in had]
        typer.echo(orjson.dumps({"system": name, "state": "on", "asked": len(found), "found": listed}))
        return
    typer.echo(f"{name} is on")
    if found:
        typer.echo(f"while it observed it was asked about {len(found)} request(s), and had something of:")
        typer.echo("\n".join(f"  {each.request_id}  {each.outcome} {each.found}" for each in had) or "  no request")


@downstreams.command()
def quarantine(
    name: str,
    reason: Annotated[str, typer.Option(help="Why, in one word, such as wrong_dataset.")] = "by_a_person",
    *,
    as_json: AsJson = False,
) -> None:
    """Do nothing in a system until it is switched on again; what needs it waits, and is answered without it in part."""
    if not re.fullmatch(_WORD, reason):
        raise typer.BadParameter("a reason is one word of small letters, digits and _")
    asyncio.run(_quarantine(name, reason))
    typer.echo(orjson.dumps({"system": name, "state": "quarantined"}) if as_json else f"{name} is quarantined")


@downstreams.command()
def retire(name: str, file: File = None, *, as_json: AsJson = False) -> None:
    """Count on a system no more, once it is gone from the file: what still needs it is brought before a person."""
    asyncio.run(_retire(name, _path(file)))
    typer.echo(orjson.dumps({"system": name, "state": "retired"}) if as_json else f"{name} is retired")


def _path(file: Path | None) -> Path:
    return file or WorkSettings.of_environment().downstreams


async def _list(dsn: str) -> dict[str, Any]:
    async with connected(dsn) as connection:
        listed = {}
        for name, system in (await systems.read_systems(connection)).items():
            found = sum(bool(each.found) for each in await systems.findings(connection, name))
            listed[name] = {**systems.as_json(system), "found": found}
        return listed


async def _on(name: str, path: Path, *, file_only: bool) -> Sequence[ObservedFinding]:
    wiring = Wiring.of_command()
    loaded = Downstreams.load(path, wiring)
    fingerprint = loaded.get(name).fingerprint
    await loaded.close()
    if not file_only:
        for checked in await check(path, wiring, name):
            if checked.faults:
                raise Misconfigured(*checked.faults)
    async with connected(PostgresSettings.of_environment().dsn) as connection:
        return await systems.switch_on(connection, name, fingerprint)


async def _quarantine(name: str, reason: str) -> None:
    async with connected(PostgresSettings.of_environment().dsn) as connection:
        await systems.quarantine(connection, name, reason)


async def _retire(name: str, path: Path) -> None:
    if name in in_use(path):
        raise Misconfigured(f"{path} declares [{name}]: take it out, or write enabled = false, and retire it then")
    async with connected(PostgresSettings.of_environment().dsn) as connection:
        await systems.retire(connection, name)


def _line(name: str, state: str, hash: str, reason: str | None, since: datetime, found: int) -> str:  # noqa: A002
    why = f" ({reason})" if reason else ""
    seen = f", has something of {found} request(s)" if state == "observe" else ""
    return f"{name}  {state}{why} since {since:%Y-%m-%d %H:%M} UTC, accepted as {hash[:12]}{seen}"


_DAY_MS = 24 * 3600 * 1000


@downstreams.command()
def topics(
    file: Path,
    *,
    create: Annotated[bool, typer.Option("--create", help="Make what is missing, at DSR_KAFKA_BOOTSTRAP.")] = False,
    partitions: Annotated[
        int, typer.Option(min=1, help="Partitions of a topic: how many of a team can work side by side.")
    ] = names.PARTITIONS,
    replicas: Annotated[int, typer.Option(min=1, help="Brokers that hold each; 3 in a cluster.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Print each bus team's topics, their partitions, its group and user, and the rights that users need at the broker.

    The operator of the broker makes a team's user, with its password.
    """
    teams = teams_of(file, os.environ)
    found = {system: described(system, operations, partitions, replicas) for system, operations in teams.items()}
    if create:
        made, guarded = asyncio.run(make(KafkaSettings.of_environment(), teams, partitions, replicas))
        for system in found.values():
            system["made"] = [each["name"] for each in system["topics"] if each["name"] in made]
            system["rights_given"] = guarded
    typer.echo(orjson.dumps(found) if as_json else "\n".join(_lines(found)) or f"{file} declares no system on the bus")


def teams_of(path: Path, environment: Mapping[str, str]) -> dict[str, frozenset[Operation]]:
    """The systems of a downstreams file that are reached over the bus, also those that are not enabled yet.

    Raises:
        Misconfigured: the table of one of them cannot be used.
    """
    teams = {each.name: each.settings for each in read(path, environment, "bus")}
    return {name: settings.worked for name, settings in teams.items() if isinstance(settings, BusSettings)}


def described(system: str, operations: frozenset[Operation], partitions: int, replicas: int) -> dict[str, Any]:
    """Describes as JSON what the broker needs for one team."""
    users = {rights.team_user(system): rights.of_team(system), **asking(system, operations)}
    return {
        "topics": [
            {"name": name, "partitions": partitions, "replicas": replicas, "config": admin.config(name), "team": does}
            for name, does in ((names.tasks(system), "reads"), (names.replies(system), "writes"))
        ],
        "group": rights.team_group(system),
        "user": rights.team_user(system),
        "rights": [
            {"user": user, "kind": acl.kind, "name": acl.name, "operations": list(acl.operations)}
            for user, acls in users.items()
            for acl in dict.fromkeys(acls)
        ],
    }


def asking(system: str, operations: frozenset[Operation]) -> dict[str, Sequence[Acl]]:
    """Rights of our services that ask this team."""
    needed = {rights.user_of(service): rights.of_asking(service, system, operations) for service in ServiceName}
    return {user: acls for user, acls in needed.items() if acls}


async def make(
    settings: KafkaSettings, teams: Teams, partitions: int, replicas: int
) -> tuple[Sequence[str], bool | None]:
    """Makes the topics that are missing and gives the rights; which were made, and whether the broker asks for rights.

    Raises:
        KafkaError: what the broker answers.
    """
    wanted = [name for system in teams for name in (names.tasks(system), names.replies(system))]
    if not wanted:
        return [], None
    made = await admin.create_topics(settings, wanted, partitions, replicas)
    users: dict[str, list[Acl]] = {}
    for system, operations in teams.items():
        for user, acls in {
            rights.team_user(system): rights.of_team(system),
            **asking(system, frozenset(operations)),
        }.items():
            users.setdefault(user, []).extend(acls)
    return made, await rights.give(settings, users)


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    for system, needs in found.items():
        yield system
        for topic in needs["topics"]:
            config = topic["config"]
            yield (
                f"  topic {topic['name']}: the team {topic['team']}; partitions {topic['partitions']}, replicas"
                f" {topic['replicas']}, kept {config['retention.ms'] // _DAY_MS} days, records up to"
                f" {config['max.message.bytes']} bytes"
            )
        yield f"  group {needs['group']} of the user {needs['user']}"
        for each in needs["rights"]:
            yield f"  right {each['user']}: {', '.join(each['operations'])} on {each['kind']} {each['name']}"
        if "made" in needs:
            yield f"  made {', '.join(needs['made']) or 'nothing: all was there'}; {_GIVEN[needs['rights_given']]}"


_GIVEN = {True: "rights given", False: "this broker asks for no rights"}
