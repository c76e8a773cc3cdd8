"""Search in the evidence by request, holder, action and time; whoever searches is on record themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import orjson
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.intake.actors import PERSON, actor_of
from services.intake.auth import HOLDER, Caller
from services.intake.errors import BadRequest
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import audit
from shared.storage.audit import Place, Query
from shared.storage.postgres import Connection

_BEGINNING = timedelta(days=3660)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_SIGNED_IN = "SELECT EXISTS (SELECT FROM evidence.entry WHERE actor = $1 AND actor NOT LIKE 'service:%')"
_KEYS = "SELECT key_id FROM api_key WHERE holder = $1"
_HOLDERS = "SELECT 'key:' || key_id, holder FROM api_key WHERE 'key:' || key_id = ANY($1)"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody looks for; ``action``: one, or as ``breach`` all that begin so; ``until`` is excluded."""

    request_id: UUID | None = None
    holder: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: Place | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of the evidence; ``holder``: who had the key, or has signed in; None: a service by itself."""

    at: datetime
    service: str
    seq: int
    request_id: UUID
    actor: str
    holder: str | None
    action: str
    detail: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, the newest first, and from where on there are more, if there are."""

    entries: Sequence[Found]
    following: Place | None


async def search(tx: UnitOfWork, wanted: Wanted, caller: Caller, rows: int) -> Page:
    """A page of what is wanted.

    Who is looked for is on record only where that is somebody who has had a key, or has signed in: anything may be
    typed there, and nothing can be taken out of the evidence.

    Raises:
        BadRequest: the evidence knows no such action, nobody could have such a name here, or the time is none.
    """
    latest = tx.now + timedelta(days=1)
    since = max(wanted.since or tx.now - _BEGINNING, _EARLIEST)
    until = min(wanted.until or latest, latest)
    if since >= until:
        raise BadRequest("the time ends before it begins; give a later end", "until")
    actions = await _actions(tx.connection, wanted.action) if wanted.action else None
    actors = await _actors(tx.connection, wanted.holder) if wanted.holder else None
    known = wanted.holder if actors and await _is_known(tx.connection, actors) else None
    query = Query(since, until, wanted.request_id, actors, actions, wanted.after)
    found = await audit.search(tx.connection, query, rows + 1)
    detail: dict[str, JsonValue] = {"holder": caller.holder, "of": known, "actions": len(actions or ())}
    if wanted.holder and not known:
        detail["of_nobody"] = True
    tx.log_evidence(wanted.request_id or uuid7(), "audit.searched", detail, caller.actor)
    shown = found[:rows]
    actor_ids = list({row["actor"] for row in shown})
    holders = dict(map(tuple, await tx.connection.fetch(_HOLDERS, actor_ids)))
    last = shown[-1] if len(found) > rows else None
    following = Place(last["at"], last["chain"], last["seq"]) if last else None
    return Page([_found(row, holders) for row in shown], following)


async def _actions(connection: Connection, wanted: str) -> list[str]:
    known = [each for each in await audit.actions(connection) if each == wanted or each.startswith(f"{wanted}.")]
    if not known:
        raise BadRequest("the evidence knows no such action; look at an entry for how they are named", "action")
    return known


async def _actors(connection: Connection, holder: str) -> list[str]:
    """As whom the evidence has them: by their sign-in, and by each of their keys."""
    if HOLDER.fullmatch(holder) is None:
        raise BadRequest("look for the holder of a key, or who has signed in, by the account, as a.weber", "holder")
    return [f"{PERSON}{holder}", *(actor_of(row[0]) for row in await connection.fetch(_KEYS, holder))]


async def _is_known(connection: Connection, actors: Sequence[str]) -> bool:
    """Whether any of them had a key, or has done something."""
    return len(actors) > 1 or bool(await connection.fetchval(_SIGNED_IN, actors[0]))


def _found(row: asyncpg.Record, holders: Mapping[str, str]) -> Found:
    actor: str = row["actor"]
    person = actor.removeprefix(PERSON) if actor.startswith(PERSON) else None
    detail = orjson.loads(row["detail"])
    known = (row["at"], row["chain"], row["seq"], row["request_id"], actor, holders.get(actor, person), row["action"])
    return Found(*known, detail)
