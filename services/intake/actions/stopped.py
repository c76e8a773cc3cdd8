"""Actions about holds, systems, suspended API keys, nightly retention runs and conflicts with the register."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, JsonValue

from services.intake.access import key_suspension
from services.intake.access.auth import Caller
from services.intake.access.grant import Power
from services.intake.actions.action import Action, Held, by_two
from services.intake.actions.bodies import Nothing
from services.intake.actions.deciding import Deciding
from services.intake.actions.kind import Kind
from services.intake.core.errors import NotFound
from services.intake.incidents import record
from services.intake.request.aggregate import Transition
from services.intake.reviews import holds
from services.intake.reviews.holds import HoldReviewed
from services.intake.reviews.rows import AssignmentConflict, KnownSystem, Sweep
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork


def row(held: Held, _: BaseModel) -> str:
    """Version of the row; another one voids an approval."""
    return held.version


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("This is not an id.") from None


async def _anybody(_: Held) -> None:
    return


def of_row(
    name: str,
    read: Callable[[UnitOfWork, str], Awaitable[Any]],
    stands: Callable[[Any], str],
    *actions: Action,
    allowed: Callable[[Held], Awaitable[None]] = _anybody,
    sealed: bool = False,
    uuid: bool = True,
    **more: Any,
) -> Kind:
    """A kind of thing that is one row; its version is a digest of it.

    ``allowed``: raises ``Forbidden`` to a caller who may not act. ``sealed``: proposals are sealed under its own key.
    ``uuid``: its id is one. ``more``: of ``Kind``.
    """

    async def lock(means: Deciding, tx: UnitOfWork, key: str, caller: Caller, *, acting: bool) -> Held:
        key = str(_id(key)) if uuid else key
        if acting:  # of two who act on the same thing one comes after the other
            caller.grant.must(Power.SUBMIT)
            await tx.connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{name} {key}")
        found = await read(tx, key)
        version = hashlib.sha256(repr(found).encode()).hexdigest()[:32]
        held = Held(tx, means, caller, key, found, version, sealed_under=UUID(key) if sealed else None)
        if acting:
            await allowed(held)
        return held

    async def take(held: Held, _: Transition | None) -> Held:
        try:
            return await lock(held.means, held.tx, held.key, held.caller, acting=False)
        except NotFound:  # it is over with it
            return replace(held, row=None)

    known = {each.name: each for each in actions}
    return Kind(name, known, lock, take, lambda held: stands(held.row) if held.row else "gone", **more)


def _both(held: Held) -> list[str]:
    return [held.first or "", held.caller.holder]


def _recorded(name: str) -> UUID:
    """Under which id the evidence has what is done about a system."""
    return uuid5(NAMESPACE_URL, f"urn:dsr:system:{name}")


_CHANGE_SYSTEM = "UPDATE downstreams.system SET state = $2, reason = $3, since = $4 WHERE name = $1"


async def _quarantine(held: Held, _: Nothing) -> None:
    """Nothing is done in the system from the next claim on."""
    tx, system = held.tx, held.row
    if system.state != "on":
        raise IllegalTransition(f"{system.name} is {system.state}: only a system that is on can be quarantined")
    await tx.connection.execute(_CHANGE_SYSTEM, system.name, "quarantined", "by_a_person", tx.now)
    detail: dict[str, JsonValue] = {"system": system.name, "by": held.caller.holder}
    tx.log_evidence(_recorded(system.name), "system.quarantined", detail, held.caller.actor)


async def _enable(held: Held, _: Nothing) -> None:
    """The system is worked again; one that is declared otherwise than accepted is looked into by its operator first."""
    tx, system = held.tx, held.row
    if not system.may_be_released:
        changed = f", since it was changed: `dsr downstreams on {system.name}` checks it first"
        raise IllegalTransition(f"{system.name} is {system.state}{changed if system.reason else ''}")
    await tx.connection.execute(_CHANGE_SYSTEM, system.name, "on", None, tx.now)
    detail: dict[str, JsonValue] = {"system": system.name, "by": [*_both(held)]}
    tx.log_evidence(_recorded(system.name), "system.released", detail, held.caller.actor)


async def _let_go(held: Held, _: Nothing) -> None:
    """The deletion goes on within a minute, up to what was counted."""
    tx, sweep = held.tx, held.row
    if sweep.state != "stopped" or sweep.confirmed_by:
        raise IllegalTransition("this sweep waits for no approval: only one that is stopped does")
    query = "UPDATE downstreams.sweep SET confirmed_by = $2 WHERE sweep_id = $1"
    await tx.connection.execute(query, sweep.sweep_id, _both(held))
    detail: dict[str, JsonValue] = {"by": [*_both(held)]}
    detail |= {name: getattr(sweep, name) for name in ("system", "ceiling", "due", "of_rows")}
    tx.log_evidence(sweep.sweep_id, "retention.confirmed", detail, held.caller.actor)


async def _settle(held: Held, _: Nothing) -> None:
    """The register is right, on record with the request that met the conflict; not for the owner of its incident."""
    tx, conflict = held.tx, held.row
    await record.must_not_own(tx.connection, conflict.request_id, held.caller.holder)
    query = "UPDATE register.conflict SET settled_at = $2, settled_by = $3 WHERE conflict_id = $1"
    await tx.connection.execute(query, conflict.conflict_id, tx.now, held.caller.holder)
    detail = {"conflict_id": str(conflict.conflict_id), "system": conflict.system, "kind": conflict.kind}
    tx.log_evidence(conflict.request_id, "assignment.settled", detail, held.caller.actor)


HOLDS: Final = of_row(
    "holds",
    lambda tx, key: holds.read(tx.connection, UUID(key)),
    lambda row: "lifted" if row.lifted_at else "in_force",
    Action(
        "holds/review",
        lambda held, said: held.means.holds.review(held.tx, held.row, said, held.caller),
        lambda held: held.row.lifted_at is None,
        HoldReviewed,
    ),
    Action(
        "holds/lift",
        lambda held, _: holds.lift(held.tx, held.row, _both(held), held.caller),
        lambda held: held.row.lifted_at is None,
        power="release",
        second=by_two,
        about=row,
        final=True,
    ),
    titled=lambda held: f"Hold for {held.row.case_number}",
)
SYSTEMS: Final = of_row(
    "systems",
    lambda tx, key: KnownSystem.read(tx.connection, key),
    lambda row: str(row.state),
    Action("systems/quarantine", _quarantine, lambda held: held.row.state == "on", power="release"),
    Action(
        "systems/enable",
        _enable,
        lambda held: held.row.may_be_released,
        power="release",
        second=by_two,
        about=row,
        final=True,
    ),
    titled=lambda held: str(held.row.name),
    uuid=False,
    recorded=_recorded,
)
KEYS: Final = of_row(
    "suspended-keys",
    lambda tx, key: key_suspension.read_one(tx.connection, key),
    lambda _: "suspended",
    Action(
        "suspended-keys/release",
        lambda held, _: key_suspension.release(held.tx, held.key, held.caller.holder, held.caller.actor),
        lambda held: held.row.holder != held.caller.holder,
        power="release",
        final=True,
    ),
    uuid=False,
    titled=lambda held: f"API key {held.row.key_id} of {held.row.holder}",
    recorded=lambda key: uuid5(NAMESPACE_URL, f"urn:dsr:key:{key}"),
)
SWEEPS: Final = of_row(
    "sweeps",
    lambda tx, key: Sweep.read(tx.connection, UUID(key)),
    lambda row: str(row.state),
    Action(
        "sweeps/let-go",
        _let_go,
        lambda held: held.row.state == "stopped" and not held.row.confirmed_by,
        power="release",
        second=by_two,
        about=row,
        final=True,
    ),
    titled=lambda held: f"{held.row.system}, {held.row.table_name}",
)
CONFLICTS: Final = of_row(
    "assignment-conflicts",
    lambda tx, key: AssignmentConflict.read(tx.connection, UUID(key)),
    lambda _: "open",
    Action("assignment-conflicts/settle", _settle, lambda _: True),
    titled=lambda held: f"{held.row.system} and the register of numbers contradict one another",
)
KINDS: Final = (HOLDS, SYSTEMS, KEYS, SWEEPS, CONFLICTS)
