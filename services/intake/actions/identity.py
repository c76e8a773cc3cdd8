"""Actions about who asks: proof that a person enters or revokes.

A proof of an answered request is revoked by two people, and its package is withheld from the proposal on. What was
fetched or changed by it is then an incident (Art. 33). If it was theirs after all, the proposal is rejected.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from pydantic import JsonValue

from services.intake.actions.action import Action, ActionContext, Options, seal_note
from services.intake.actions.bodies import ContactConfirmed, ProofRevoked
from services.intake.core.errors import BadRequest
from services.intake.core.metrics import REQUESTS
from services.intake.core.schemas import IdentityProof, Verification
from services.intake.identity import proof_links, stopped
from services.intake.identity.proving import Proved, named
from services.intake.incidents import record as incidents
from services.intake.letters import sealed_letters
from services.intake.packages import releases
from services.intake.request.aggregate import Request, Transition, asks_for
from services.intake.request.lifecycle import State
from services.intake.request.same_person import UNPROVED
from services.intake.store import lookup, other_requests
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.identities import Identity, IdentityType
from shared.domain.proofs import as_stated, highest_level, proves_the_same_person, without_proof_of
from shared.domain.release import ReleaseFault
from shared.domain.rights import NOTHING, Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.subject_data import SubjectData, encode_identities
from shared.storage.vault import DISCARDED, REVOKED

BY_TWO: Final = frozenset({Right.ACCESS, Right.PORTABILITY, Right.ERASURE, Right.RECTIFICATION})
"""The rights whose requests open data, destroy them, or change the address by which their subject is proved."""
REVOKE: Final = "revoke-proof"
WHY: Final[Mapping[stopped.Why, str]] = {
    "disowned": "the recipient says that they have asked for nothing",
    "withheld": "too many links were asked for, so the last was not sent",
    "wrong_codes": "too many wrong codes",
}


def entered_by_hand(context: ActionContext) -> bool:
    """Whether proof that is entered now takes a second person."""
    return context.caller.grant.by_hand and context.request.right in BY_TWO


async def stated_by(context: ActionContext) -> list[Identity]:
    """Identities that the requester has stated; empty once their key is gone."""
    known = await _known(context.tx, context.request)
    return [each for each in known.identities if each.source == "requester"] if known else []


async def stated(context: ActionContext, _: object) -> str:
    """Where the request stands, and a keyed hash of what is stated: what is stated later was not looked at."""
    body = "".join(f"\0{each.type}\0{each.value}" for each in await stated_by(context))
    digest = hmac.digest(context.tx.vault.keyring.lookup, f"by hand{body}".encode(), "sha256").hex()
    return f"{context.request.state} {digest}"


async def verify(context: ActionContext, body: Verification) -> Transition:
    """The requester has proved who they are: work begins, or goes on with what had waited for that.

    Raises ``BadRequest``, ``IllegalTransition``.
    """
    tx, request, use_cases = context.tx, context.request, context.use_cases
    request.require_controller()
    known = await _known(tx, request)
    if known is None:
        raise Shredded("the subject's key is gone, so the requester is unknown")
    mine = [each for each in known.identities if each.source == "requester"]
    grant = context.caller.grant
    proved = use_cases.proof_evaluator.prove(mine, body.assurance, body.proofs, grant, tx.now)
    must_be_the_same_person(
        known, use_cases.proof_evaluator.prove(as_stated(mine), body.assurance, body.proofs, grant, tx.now)
    )
    needed = request.lacks or use_cases.identity.least(asks_for(request.right, request.scope, known.changes))
    if (most := highest_level(proved.identities)) < needed:
        raise BadRequest(f"{request.right} needs level {needed}; {most} is not enough")
    detail: dict[str, JsonValue] = dict(body.assurance) if body.assurance else {}
    detail["proofs"] = [*proved.evidence]
    verified = request.verify(detail, tx.now, use_cases.policy)
    tx.after_commit(REQUESTS.labels(request.right, "identity_verified").inc)
    await sealed_letters.seal_text(tx, request, "identities", "requester", encode_identities(proved.identities))
    await other_requests.record_proof(tx, request, proved.identities)
    return verified


def must_be_the_same_person(known: SubjectData, alone: Proved) -> None:
    """Raises ``IllegalTransition`` for a proof that is not shown to be the first prover's.

    ``alone``: as well as the identities are proved by nothing else.
    """
    if not proves_the_same_person(known.identities, alone.identities):
        raise IllegalTransition(
            "a part of this request was proved before, and nothing shows that this proof is the same person's: prove an"
            " identity that was proved before in the same call, or submit a request of their own for this person;"
            f" revoke a proof that was wrong ({REVOKE})"
        )


async def _confirm_on_file(context: ActionContext, body: ContactConfirmed) -> Transition:
    """Counts the request as the contact's on file: answers go there, the asker's unproved address is dropped."""
    proof = IdentityProof(identity="account_id", method=proof_links.METHOD)
    verified = await verify(context, Verification(proofs=(proof,)))
    level = context.use_cases.identity.methods[proof_links.METHOD].level
    theirs = Identity(IdentityType.EMAIL, body.address, source="requester", level=level)
    unproved = [i for i in await stated_by(context) if i.type is IdentityType.EMAIL and i.level == NOTHING]
    await sealed_letters.seal_text(context.tx, context.request, "identities", DISCARDED, encode_identities(unproved))
    await sealed_letters.seal_text(context.tx, context.request, "identities", "requester", encode_identities([theirs]))
    await lookup.index_requests(context.tx, [(context.request.request_id, [theirs], UNPROVED)])
    return verified


async def _revoke(context: ActionContext, body: ProofRevoked) -> Transition:
    """A proof was wrong: from now on it counts for nothing, and what was found by it is dropped.

    Raises ``BadRequest``.
    """
    tx, request = context.tx, context.request
    request.require_controller()
    await _forget(tx, request, body.identity)
    detail: dict[str, JsonValue] = {"identity": body.identity, "holder": context.caller.holder}
    detail |= await seal_note(context, "taken_back", body.note)
    if request.state is State.CLOSED:
        if any(task.changed or task.count_unknown for task in request.tasks or ()):
            await incidents.open_one(tx, request.request_id, request.request_id, ReleaseFault.NOT_PROVED, downloads=0)
        request = replace(request, package_fault=await _check_package(tx, request))
    return request.noted("proof.taken_back", **detail)


async def _doubted(context: ActionContext) -> Transition:
    """A proposal withholds the package; its rejection says that the proof was theirs, so links are good again."""
    request = context.request
    await stopped.lift(context.tx, request.request_id)
    return Transition(replace(request, package_fault=await _check_package(context.tx, request)))


async def _check_package(tx: UnitOfWork, request: Request) -> ReleaseFault | None:
    if request.package_id is None or request.package_is_gone:
        return None
    return await releases.check(tx, await releases.lock_package(tx, request.request_id))


async def _forget(tx: UnitOfWork, request: Request, field: str) -> None:
    """Lets the proof count for nothing, and drops what was located by it; not where the subject's key is gone."""
    known = await _known(tx, request)
    if known is None:
        return
    mine = [each for each in known.identities if each.source == "requester"]
    wrong = named(mine, field)
    if wrong is None or wrong.level == NOTHING:
        raise BadRequest("nothing is proved of an identity of that field", "identity")
    less = {(each.type, each.value): each for each in without_proof_of(mine, wrong)}
    await sealed_letters.seal_text(tx, request, "identities", REVOKED, encode_identities(less.values()))
    await tx.vault.drop_located(tx.connection, request.subject_ref)
    await other_requests.record_proof(tx, request, [less.get((each.type, each.value), each) for each in mine])


async def _known(tx: UnitOfWork, request: Request) -> SubjectData | None:
    return (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)


async def _why_stopped(context: ActionContext) -> list[tuple[str, str]]:
    found = await stopped.why(
        context.tx.connection, context.use_cases.identity.links.failures, context.request.request_id
    )
    return [("Waits for a person", WHY[each]) for each in found]


def _methods(context: ActionContext) -> Options:
    known = sorted(context.use_cases.identity.methods.items())
    by_hand = [(name, method) for name, method in known if method.by_hand]
    return [(name, f"{name.replace('_', ' ')} ({method.level} at most)") for name, method in by_hand]


def _may_verify(context: ActionContext) -> bool:
    request = context.request
    return (request.allows("verify") or request.resumable) and request.role != "processor"


ACTIONS: Final[Sequence[Action]] = (
    Action(
        "requests/verify",
        verify,
        _may_verify,
        Verification,
        channel=True,
        second=lambda context, _: entered_by_hand(context),
        about=stated,
        shows=("assurance", "proofs"),
        choices={"assurance.method": _methods},
        proposed="proof.proposed",
    ),
    Action(
        "requests/confirm-on-file", _confirm_on_file, lambda _: False, ContactConfirmed, channel=True, offered=False
    ),
    Action(
        f"requests/{REVOKE}",
        _revoke,
        lambda context: context.request.role != "processor" and not context.request.anonymous,
        ProofRevoked,
        reads=_why_stopped,
        channel=True,
        second=lambda context, _: context.request.state is State.CLOSED,
        target=("identity",),
        shows=("identity",),
        proposed="proof.doubted",
        meanwhile=_doubted,
        final=True,
    ),
)
