"""Actions about holds, systems, suspended API keys, nightly retention runs and conflicts with the register."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, Field, StringConstraints

from services.intake.access import key_suspension
from services.intake.access.auth import Caller
from services.intake.access.grant import Power
from services.intake.actions.action import ANOTHER, Action, Held, by_two, saying
from services.intake.actions.bodies import Nothing, System
from services.intake.actions.deciding import Deciding
from services.intake.actions.kind import Kind
from services.intake.core.errors import NotFound
from services.intake.request.aggregate import Transition
from services.intake.reviews import assignment_conflicts, holds, quarantines, retention_runs
from services.intake.reviews.holds import HoldReviewed
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.holds import LegalHold

KeyId = Annotated[
    str,
    StringConstraints(pattern=r"^([0-9a-f]{12}|person:[a-z][a-z0-9._-]{0,62})$"),
    Field(description="the part of the key between the underscores; for a person who signed in, their name"),
]


async def row(held: Held, _: BaseModel) -> str:
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
    key: Any,
    read: Callable[[UnitOfWork, str], Awaitable[Any]],
    stands: Callable[[Any], str],
    *actions: Action,
    allowed: Callable[[Held], Awaitable[None]] = _anybody,
    sealed: bool = False,
    **more: Any,
) -> Kind:
    """A kind of thing that is one row; its version is a digest of it.

    ``allowed``: raises ``Forbidden`` to a caller who may not act. ``sealed``: proposals are sealed under its own key.
    ``more``: of ``Kind``.
    """
    has_uuid = key is UUID

    async def lock(means: Deciding, tx: UnitOfWork, key: str, caller: Caller, *, acting: bool) -> Held:
        key = str(_id(key)) if has_uuid else key
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
    return Kind(name, known, lock, take, lambda held: stands(held.row) if held.row else "gone", key=key, **more)


async def _review(held: Held, said: HoldReviewed) -> None:
    await held.means.holds.review(held.tx, held.row, said, held.caller)


async def _lift(held: Held, _: Nothing) -> None:
    await holds.lift(held.tx, held.row, _both(held), held.caller)


async def _quarantine(held: Held, _: Nothing) -> None:
    await quarantines.stop(held.tx, held.row, held.caller.holder, held.caller.actor)


async def _enable(held: Held, _: Nothing) -> None:
    await quarantines.enable(held.tx, held.row, _both(held), held.caller.actor)


async def _release(held: Held, _: Nothing) -> None:
    await key_suspension.release(held.tx, held.key, held.caller.holder, held.caller.actor)


async def _let_go(held: Held, _: Nothing) -> None:
    await retention_runs.approve(held.tx, held.row, _both(held), held.caller.actor)


async def _settle(held: Held, _: Nothing) -> None:
    await assignment_conflicts.settle(held.tx, held.row, held.caller.holder, held.caller.actor)


def _both(held: Held) -> list[str]:
    return [held.first or "", held.caller.holder]


async def _hold(tx: UnitOfWork, key: str) -> LegalHold:
    return await holds.read(tx.connection, UUID(key))


async def _conflict(tx: UnitOfWork, key: str) -> assignment_conflicts.AssignmentConflict:
    return await assignment_conflicts.read(tx.connection, UUID(key))


async def _sweep(tx: UnitOfWork, key: str) -> retention_runs.Sweep:
    return await retention_runs.read(tx.connection, UUID(key))


HOLDS: Final = of_row(
    "holds",
    UUID,
    _hold,
    lambda row: "lifted" if row.lifted_at else "in_force",
    Action(
        name="review",
        title="Record a review",
        body=HoldReviewed,
        effects=saying(
            "A hold that is needed stays until its next review.",
            "One that is not needed ends with its review, from the day of that on; its owner does not end it alone.",
        ),
        apply=_review,
        may=lambda held: held.row.lifted_at is None,
    ),
    Action(
        name="lift",
        title="Lift the hold",
        body=Nothing,
        power="release",
        effects=saying(
            ANOTHER,
            "Then what was kept because of it alone is erased; what another rule keeps stays until the day of that.",
        ),
        apply=_lift,
        may=lambda held: held.row.lifted_at is None,
        second=by_two,
        about=row,
        final=True,
    ),
    titled=lambda held: f"Hold for {held.row.case_number}",
)
SYSTEMS: Final = of_row(
    "systems",
    System,
    lambda tx, key: quarantines.read(tx.connection, key),
    lambda row: str(row.state),
    Action(
        name="quarantine",
        title="Quarantine the system",
        body=Nothing,
        power="release",
        effects=saying(
            "Nothing is done in it from now on; what needs it waits, and may be answered in part without it.",
            "It takes two people to enable it.",
        ),
        apply=_quarantine,
        may=lambda held: held.row.state == "on",
    ),
    Action(
        name="enable",
        title="Enable the system",
        body=Nothing,
        power="release",
        effects=saying(ANOTHER, "Then what waits for it goes on."),
        apply=_enable,
        may=lambda held: held.row.may_be_released,
        second=by_two,
        about=row,
        final=True,
    ),
    titled=lambda held: str(held.row.name),
    recorded=quarantines.of,
)
KEYS: Final = of_row(
    "suspended-keys",
    KeyId,
    lambda tx, key: key_suspension.read_one(tx.connection, key),
    lambda _: "suspended",
    Action(
        name="release",
        title="Release the API key",
        body=Nothing,
        power="release",
        effects=lambda held: (
            f"{held.row.waiting} erasures wait, and begin.",
            "If the key leaked, revoke it instead (dsr api-key revoke), and close what it has asked for.",
        ),
        apply=_release,
        may=lambda held: held.row.holder != held.caller.holder,
        final=True,
    ),
    titled=lambda held: f"API key {held.row.key_id} of {held.row.holder}",
    recorded=lambda key: uuid5(NAMESPACE_URL, f"urn:dsr:key:{key}"),
)
SWEEPS: Final = of_row(
    "sweeps",
    UUID,
    _sweep,
    lambda row: str(row.state),
    Action(
        name="let-go",
        title="Approve the deletion",
        body=Nothing,
        power="release",
        effects=lambda held: (
            f"{held.row.due} of about {held.row.of_rows} rows began before {held.row.first_kept}.",
            f"The ceiling {held.row.ceiling} says of them: {held.row.action}.",
            ANOTHER,
            "Then they go within a minute, up to that number and day.",
        ),
        apply=_let_go,
        may=lambda held: held.row.state == "stopped" and not held.row.confirmed_by,
        second=by_two,
        about=row,
        final=True,
    ),
    titled=lambda held: f"{held.row.system}, {held.row.table_name}",
)
CONFLICTS: Final = of_row(
    "assignment-conflicts",
    UUID,
    _conflict,
    lambda _: "open",
    Action(
        name="settle",
        title="Confirm the register",
        body=Nothing,
        effects=saying(
            "Nothing more is touched by what the system says, and requests that wait for it go on.",
            "Where the register is wrong, correct its source instead, and read it again.",
        ),
        apply=_settle,
        may=lambda _: True,
    ),
    titled=lambda held: f"{held.row.system} and the register of numbers contradict one another",
)
KINDS: Final = (HOLDS, SYSTEMS, KEYS, SWEEPS, CONFLICTS)
