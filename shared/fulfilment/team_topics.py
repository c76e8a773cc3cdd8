"""The command that prints or makes what teams who are reached over the bus need at the broker."""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from shared.domain import topics as names
from shared.domain.operations import Operation
from shared.domain.topics import ServiceName
from shared.messaging import admin, rights
from shared.messaging.rights import Acl, Teams
from shared.runtime.settings import KafkaSettings
from shared.systems.bus.settings import BusSettings
from shared.systems.commands import AsJson
from shared.systems.file import read

_DAY_MS = 24 * 3600 * 1000


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

    A team's user itself is made by whoever runs the broker, as its password is theirs.
    """
    teams = teams_of(file, os.environ)
    found = {system: described(system, operations, partitions, replicas) for system, operations in teams.items()}
    if create:
        made, guarded = asyncio.run(make(KafkaSettings(), teams, partitions, replicas))
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
    """What there must be at the broker for one team, in words of JSON."""
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
    """What our own users need, those of the services that ask this team."""
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


_GIVEN = {True: "rights given", False: "this broker asks nobody for rights"}
