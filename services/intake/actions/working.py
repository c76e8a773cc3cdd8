"""Actions about the work in systems, packages, restrictions, recipients, and the part of a customer."""

from collections.abc import Sequence
from typing import Final

import orjson
from pydantic import JsonValue

from services.intake.actions.action import Action, Held, Options, Pairs, by_two, noted, plain
from services.intake.actions.bodies import (
    ControllerReply,
    Forwarded,
    LimitConfirmation,
    ManualResult,
    Nothing,
    PostalAddress,
)
from services.intake.letters import correspondence, delivery
from services.intake.packages import releases
from services.intake.request import deferrals
from services.intake.request.aggregate import Transition
from shared.domain.errors import IllegalTransition
from shared.storage.vault import MANUAL_STEPS, Sealing


async def _found(held: Held, said: LimitConfirmation) -> str:
    """Names how much was found: another number voids the approval."""
    return str(held.request.found_beyond(said.system, said.limit))


async def _record_result(held: Held, said: ManualResult) -> Transition:
    return held.request.record(said.system, said.found, said.changed, **await noted(held, said.system, said.note))


async def _manual_steps(held: Held) -> Pairs:
    """Steps to do by hand, as systems give them; the reading is on record."""
    tx, request = held.tx, held.request
    if not await tx.vault.unshredded(tx.connection, [request.subject_ref]):
        return ()
    sealed = await tx.vault.open_kind(tx.connection, request.subject_ref, MANUAL_STEPS)
    if sealed:
        detail: dict[str, JsonValue] = {"holder": held.caller.holder}
        tx.log_evidence(request.request_id, "manual_steps.read", detail, held.caller.actor)
    return [(system, "\n".join(orjson.loads(steps))) for _, system, steps in sealed]


async def _release_package(held: Held, _: Nothing) -> Transition:
    """Two people who have looked into it say that all of it is the subject's; raises ``IllegalTransition``."""
    held.request.must_be_withheld()
    if held.caller.holder not in await releases.lookers(held.tx.connection, held.request):
        raise IllegalTransition(
            "look into the package first (`inspection` of POST …/downloads): who releases it says that it is all this"
            " person's"
        )
    return held.request.release(held.caller.holder)


async def _looks(held: Held) -> Pairs:
    looks = await releases.lookers(held.tx.connection, held.request)
    return [(who, f"has looked into it, {at:%Y-%m-%d %H:%M} UTC") for who, at in looks.items()]


async def _renew_package(held: Held, _: Nothing) -> Transition:
    renewed = held.request.renew()
    await held.tx.vault.drop_located(held.tx.connection, held.request.subject_ref)
    return renewed


async def _forward(held: Held, said: Forwarded) -> Transition:
    detail = await correspondence.note(held.tx, held.request, said.controller, may_be_named=said.may_be_named)
    answered_by = correspondence.by_name(said.controller if said.may_be_named else None)
    return held.request.forward(answered_by, held.tx.now, **detail)


async def _record_controller_reply(held: Held, said: ControllerReply) -> Transition:
    place = await correspondence.seal(held.tx, held.request, "reply", "controller", said.text.encode())
    return held.request.record_controller_reply(held.tx.now, reply=str(place))


async def _record_address(held: Held, said: PostalAddress) -> Transition:
    """A person has looked up where the subject lives: letters on paper go there, and nowhere else."""
    tx, request = held.tx, held.request
    await tx.vault.drop_kind(tx.connection, [request.request_id], delivery.POSTAL)
    sealed = Sealing(request.request_id, delivery.POSTAL, said.on_file_in, orjson.dumps(said.lines))
    await tx.vault.seal(tx.connection, [sealed], tx.now)
    await delivery.address_known(tx.connection, request.request_id)
    return request.noted("address.recorded", on_file_in=said.on_file_in)


def _limited(held: Held) -> Options:
    """The systems that wait for two people, with what was found there and what is allowed."""
    return [
        (task.system, f"{task.system}: {task.exceeded.found} found, {task.exceeded.allowed} allowed")
        for task in held.request.tasks or ()
        if task.exceeded
    ]


def _by_hand(held: Held) -> Options:
    tasks = held.request.tasks or ()
    return plain(*sorted({task.system for task in tasks if deferrals.may_be_done_by_hand(task)}))


def _is_withheld(held: Held) -> bool:
    request = held.request
    return request.package_fault is not None and not request.package_is_gone and not request.renewing


def _may_lift(held: Held) -> bool:
    request = held.request
    over = request.lifted_at is not None or request.lift_notified_at is not None
    return request.allows("follow_up") and request.restricts and request.was_restricted and not over


def _may_forward(held: Held) -> bool:
    request = held.request
    return request.role != "controller" and request.forwarded_at is None and request.tenant is None


ACTIONS: Final[Sequence[Action]] = (
    Action(
        "requests/exceed-limit",
        lambda held, said: held.request.exceed(said.system, said.limit, held.first or "", held.caller.holder),
        lambda held: bool(_limited(held)),
        LimitConfirmation,
        power="release",
        second=by_two,
        about=_found,
        target=("system", "limit"),
        shows=("system", "limit"),
        choices={"system": _limited},
        proposed="limit.exceeding_proposed",
        final=True,
    ),
    Action(
        "requests/record-result",
        _record_result,
        lambda held: bool(_by_hand(held)),
        ManualResult,
        choices={"system": _by_hand},
        reads=_manual_steps,
    ),
    Action(
        "requests/release-package",
        _release_package,
        _is_withheld,
        second=by_two,
        about=lambda held, _: releases.withheld_for(held.request.package_id, held.request.package_fault),
        reads=_looks,
        proposed="package.release_confirmed",
        final=True,
    ),
    Action("requests/renew-package", _renew_package, _is_withheld),
    Action("requests/lift", lambda held, _: held.request.lift(held.tx.now), _may_lift, final=True),
    Action("requests/forward", _forward, _may_forward, Forwarded, final=True),
    Action(
        "requests/record-controller-reply",
        _record_controller_reply,
        lambda held: held.request.forwarded_at is not None and held.request.controller_replied_at is None,
        ControllerReply,
    ),
    Action("requests/record-address", _record_address, lambda _: True, PostalAddress),
)
