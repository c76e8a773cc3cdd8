"""Actions about the work in systems, packages, restrictions, recipients, and the part of a customer."""

from collections.abc import Sequence
from typing import Final

import orjson
from pydantic import JsonValue

from services.intake.actions.action import Action, ActionContext, Options, Pairs, always_two, plain_options, seal_note
from services.intake.actions.bodies import (
    ControllerReply,
    Forwarded,
    LimitConfirmation,
    ManualResult,
    Nothing,
    PostalAddress,
)
from services.intake.letters import delivery_queue, sealed_letters
from services.intake.packages import releases
from services.intake.request import deferrals
from services.intake.request.aggregate import Transition
from shared.domain.errors import IllegalTransition
from shared.storage.vault import MANUAL_STEPS, Sealing


async def _found(context: ActionContext, body: LimitConfirmation) -> str:
    """Names how much was found: another number voids the approval."""
    return str(context.request.found_beyond(body.system, body.limit))


async def _record_result(context: ActionContext, body: ManualResult) -> Transition:
    return context.request.record(
        body.system, body.found, body.changed, **await seal_note(context, body.system, body.note)
    )


async def _manual_steps(context: ActionContext) -> Pairs:
    """Steps to do by hand, as systems give them; the reading is on record."""
    tx, request = context.tx, context.request
    if not await tx.vault.unshredded(tx.connection, [request.subject_ref]):
        return ()
    sealed = await tx.vault.open_kind(tx.connection, request.subject_ref, MANUAL_STEPS)
    if sealed:
        detail: dict[str, JsonValue] = {"holder": context.caller.holder}
        tx.log_evidence(request.request_id, "manual_steps.read", detail, context.caller.actor)
    return [(system, "\n".join(orjson.loads(steps))) for _, system, steps in sealed]


async def _release_package(context: ActionContext, _: Nothing) -> Transition:
    """Two people who have looked into it say that all of it is the subject's; raises ``IllegalTransition``."""
    context.request.must_be_withheld()
    if context.caller.holder not in await releases.inspectors(context.tx.connection, context.request):
        raise IllegalTransition(
            "look into the package first (`inspection` of POST …/downloads): who releases it says that it is all this"
            " person's"
        )
    return context.request.release(context.caller.holder)


async def _inspections(context: ActionContext) -> Pairs:
    looks = await releases.inspectors(context.tx.connection, context.request)
    return [(who, f"has looked into it, {at:%Y-%m-%d %H:%M} UTC") for who, at in looks.items()]


async def _renew_package(context: ActionContext, _: Nothing) -> Transition:
    renewed = context.request.renew()
    await context.tx.vault.drop_located(context.tx.connection, context.request.subject_ref)
    return renewed


async def _forward(context: ActionContext, body: Forwarded) -> Transition:
    detail = await sealed_letters.keep_controller(
        context.tx, context.request, body.controller, may_be_named=body.may_be_named
    )
    answered_by = sealed_letters.controller_fact(body.controller if body.may_be_named else None)
    return context.request.forward(answered_by, context.tx.now, **detail)


async def _record_controller_reply(context: ActionContext, body: ControllerReply) -> Transition:
    place = await sealed_letters.seal_text(context.tx, context.request, "reply", "controller", body.text.encode())
    return context.request.record_controller_reply(context.tx.now, reply=str(place))


async def _record_address(context: ActionContext, body: PostalAddress) -> Transition:
    """A person has looked up where the subject lives: letters on paper go there, and nowhere else."""
    tx, request = context.tx, context.request
    await tx.vault.drop_kind(tx.connection, [request.request_id], delivery_queue.POSTAL_ADDRESS)
    sealed = Sealing(request.request_id, delivery_queue.POSTAL_ADDRESS, body.on_file_in, orjson.dumps(body.lines))
    await tx.vault.seal(tx.connection, [sealed], tx.now)
    await delivery_queue.print_addressed(tx.connection, request.request_id)
    return request.noted("address.recorded", on_file_in=body.on_file_in)


def _limited(context: ActionContext) -> Options:
    """The systems that wait for two people, with what was found there and what is allowed."""
    return [
        (task.system, f"{task.system}: {task.exceeded.found} found, {task.exceeded.allowed} allowed")
        for task in context.request.tasks or ()
        if task.exceeded
    ]


def _by_hand(context: ActionContext) -> Options:
    tasks = context.request.tasks or ()
    return plain_options(*sorted({task.system for task in tasks if deferrals.may_be_done_by_hand(task)}))


def _is_withheld(context: ActionContext) -> bool:
    request = context.request
    return request.package_fault is not None and not request.package_is_gone and not request.renewing


def _may_lift(context: ActionContext) -> bool:
    request = context.request
    over = request.lifted_at is not None or request.lift_notified_at is not None
    return request.allows("follow_up") and request.restricts and request.was_restricted and not over


def _may_forward(context: ActionContext) -> bool:
    request = context.request
    return request.role != "controller" and request.forwarded_at is None and request.tenant is None


ACTIONS: Final[Sequence[Action]] = (
    Action(
        "requests/exceed-limit",
        lambda context, body: context.request.exceed(
            body.system, body.limit, context.first or "", context.caller.holder
        ),
        lambda context: bool(_limited(context)),
        LimitConfirmation,
        power="release",
        second=always_two,
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
        lambda context: bool(_by_hand(context)),
        ManualResult,
        choices={"system": _by_hand},
        reads=_manual_steps,
    ),
    Action(
        "requests/release-package",
        _release_package,
        _is_withheld,
        second=always_two,
        about=lambda context, _: releases.withheld_for(
            context.tx.policy, context.request.package_id, context.request.package_fault
        ),
        reads=_inspections,
        proposed="package.release_confirmed",
        final=True,
    ),
    Action("requests/renew-package", _renew_package, _is_withheld),
    Action("requests/lift", lambda context, _: context.request.lift(context.tx.now), _may_lift, final=True),
    Action("requests/forward", _forward, _may_forward, Forwarded, final=True),
    Action(
        "requests/record-controller-reply",
        _record_controller_reply,
        lambda context: context.request.forwarded_at is not None and context.request.controller_replied_at is None,
        ControllerReply,
    ),
    Action("requests/record-address", _record_address, lambda _: True, PostalAddress),
)
