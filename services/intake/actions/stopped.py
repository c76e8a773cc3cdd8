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
from services.intake.actions.action import Action, ActionContext, always_two
from services.intake.actions.bodies import Nothing
from services.intake.actions.kind import ResourceKind
from services.intake.actions.use_cases import UseCases
from services.intake.core.errors import NotFound
from services.intake.incidents import record
from services.intake.request.aggregate import Transition
from services.intake.reviews import holds
from services.intake.reviews.holds import HoldReviewed
from services.intake.reviews.rows import AssignmentConflict, KnownSystem, Sweep
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork


def row(context: ActionContext, _: BaseModel) -> str:
    """Version of the row; another one voids an approval."""
    return context.version


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("This is not an id.") from None


async def _allow_all(_: ActionContext) -> None:
    return


def of_row(
    name: str,
    read: Callable[[UnitOfWork, str], Awaitable[Any]],
    state_of: Callable[[Any], str],
    *actions: Action,
    allowed: Callable[[ActionContext], Awaitable[None]] = _allow_all,
    sealed: bool = False,
    uuid: bool = True,
    **more: Any,
) -> ResourceKind:
    """A kind of thing that is one row; its version is a digest of it.

    ``allowed``: raises ``Forbidden`` to a caller who may not act. ``sealed``: proposals are sealed under its own key.
    ``uuid``: its id is one. ``more``: of ``ResourceKind``.
    """

    async def lock(use_cases: UseCases, tx: UnitOfWork, key: str, caller: Caller, *, acting: bool) -> ActionContext:
        key = str(_id(key)) if uuid else key
        if acting:  # of two who act on the same thing one comes after the other
            caller.grant.must(Power.SUBMIT)
            await tx.connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{name} {key}")
        found = await read(tx, key)
        version = hashlib.sha256(repr(found).encode()).hexdigest()[:32]
        context = ActionContext(tx, use_cases, caller, key, found, version, sealed_under=UUID(key) if sealed else None)
        if acting:
            await allowed(context)
        return context

    async def take(context: ActionContext, _: Transition | None) -> ActionContext:
        try:
            return await lock(context.use_cases, context.tx, context.key, context.caller, acting=False)
        except NotFound:  # it is over with it
            return replace(context, row=None)

    known = {each.name: each for each in actions}
    return ResourceKind(
        name, known, lock, take, lambda context: state_of(context.row) if context.row else "gone", **more
    )


def _both(context: ActionContext) -> list[str]:
    return [context.first or "", context.caller.holder]


def _recorded(name: str) -> UUID:
    """Under which id the evidence has what is done about a system."""
    return uuid5(NAMESPACE_URL, f"urn:dsr:system:{name}")


_CHANGE_SYSTEM = "UPDATE downstreams.system SET state = $2, reason = $3, since = $4 WHERE name = $1"


async def _quarantine(context: ActionContext, _: Nothing) -> None:
    """Nothing is done in the system from the next claim on."""
    tx, system = context.tx, context.row
    if system.state != "on":
        raise IllegalTransition(f"{system.name} is {system.state}: only a system that is on can be quarantined")
    await tx.connection.execute(_CHANGE_SYSTEM, system.name, "quarantined", "by_a_person", tx.now)
    detail: dict[str, JsonValue] = {"system": system.name, "by": context.caller.holder}
    tx.log_evidence(_recorded(system.name), "system.quarantined", detail, context.caller.actor)


async def _enable(context: ActionContext, _: Nothing) -> None:
    """The system is worked again; one that is declared otherwise than accepted is looked into by its operator first."""
    tx, system = context.tx, context.row
    if not system.may_be_released:
        changed = f", since it was changed: `dsr downstreams on {system.name}` checks it first"
        raise IllegalTransition(f"{system.name} is {system.state}{changed if system.reason else ''}")
    await tx.connection.execute(_CHANGE_SYSTEM, system.name, "on", None, tx.now)
    detail: dict[str, JsonValue] = {"system": system.name, "by": [*_both(context)]}
    tx.log_evidence(_recorded(system.name), "system.released", detail, context.caller.actor)


async def _let_go(context: ActionContext, _: Nothing) -> None:
    """The deletion goes on within a minute, up to what was counted."""
    tx, sweep = context.tx, context.row
    if sweep.state != "stopped" or sweep.confirmed_by:
        raise IllegalTransition("this sweep waits for no approval: only one that is stopped does")
    query = "UPDATE downstreams.sweep SET confirmed_by = $2 WHERE sweep_id = $1"
    await tx.connection.execute(query, sweep.sweep_id, _both(context))
    detail: dict[str, JsonValue] = {"by": [*_both(context)]}
    detail |= {name: getattr(sweep, name) for name in ("system", "ceiling", "due", "of_rows")}
    tx.log_evidence(sweep.sweep_id, "retention.confirmed", detail, context.caller.actor)


async def _settle(context: ActionContext, _: Nothing) -> None:
    """The register is right, on record with the request that met the conflict; not for the owner of its incident."""
    tx, conflict = context.tx, context.row
    await record.must_not_own(tx.connection, conflict.request_id, context.caller.holder)
    query = "UPDATE register.conflict SET settled_at = $2, settled_by = $3 WHERE conflict_id = $1"
    await tx.connection.execute(query, conflict.conflict_id, tx.now, context.caller.holder)
    detail = {"conflict_id": str(conflict.conflict_id), "system": conflict.system, "kind": conflict.kind}
    tx.log_evidence(conflict.request_id, "assignment.settled", detail, context.caller.actor)


HOLDS: Final = of_row(
    "holds",
    lambda tx, key: holds.read(tx.connection, UUID(key)),
    lambda row: "lifted" if row.lifted_at else "in_force",
    Action(
        "holds/review",
        lambda context, body: context.use_cases.holds.review(context.tx, context.row, body, context.caller),
        lambda context: context.row.lifted_at is None,
        HoldReviewed,
    ),
    Action(
        "holds/lift",
        lambda context, _: holds.lift(context.tx, context.row, _both(context), context.caller),
        lambda context: context.row.lifted_at is None,
        power="release",
        second=always_two,
        about=row,
        final=True,
    ),
    title_of=lambda context: f"Hold for {context.row.case_number}",
)
SYSTEMS: Final = of_row(
    "systems",
    lambda tx, key: KnownSystem.read(tx.connection, key),
    lambda row: str(row.state),
    Action("systems/quarantine", _quarantine, lambda context: context.row.state == "on", power="release"),
    Action(
        "systems/enable",
        _enable,
        lambda context: context.row.may_be_released,
        power="release",
        second=always_two,
        about=row,
        final=True,
    ),
    title_of=lambda context: str(context.row.name),
    uuid=False,
    evidence_id=_recorded,
)
KEYS: Final = of_row(
    "suspended-keys",
    lambda tx, key: key_suspension.read_one(tx.connection, key),
    lambda _: "suspended",
    Action(
        "suspended-keys/release",
        lambda context, _: key_suspension.release(context.tx, context.key, context.caller.holder, context.caller.actor),
        lambda context: context.row.holder != context.caller.holder,
        power="release",
        final=True,
    ),
    uuid=False,
    title_of=lambda context: f"API key {context.row.key_id} of {context.row.holder}",
    evidence_id=lambda key: uuid5(NAMESPACE_URL, f"urn:dsr:key:{key}"),
)
SWEEPS: Final = of_row(
    "sweeps",
    lambda tx, key: Sweep.read(tx.connection, UUID(key)),
    lambda row: str(row.state),
    Action(
        "sweeps/let-go",
        _let_go,
        lambda context: context.row.state == "stopped" and not context.row.confirmed_by,
        power="release",
        second=always_two,
        about=row,
        final=True,
    ),
    title_of=lambda context: f"{context.row.system}, {context.row.table_name}",
)
CONFLICTS: Final = of_row(
    "assignment-conflicts",
    lambda tx, key: AssignmentConflict.read(tx.connection, UUID(key)),
    lambda _: "open",
    Action("assignment-conflicts/settle", _settle, lambda _: True),
    title_of=lambda context: f"{context.row.system} and the register of numbers contradict one another",
)
KINDS: Final = (HOLDS, SYSTEMS, KEYS, SWEEPS, CONFLICTS)
