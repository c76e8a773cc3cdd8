"""Actions about who asks: proof that a person enters or revokes.

A proof of an answered request is revoked by two people, and its package is withheld from the proposal on. What was
fetched or changed by it is then an incident (Art. 33). If it was theirs after all, the proposal is rejected.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from pydantic import JsonValue

from services.intake.actions.action import Action, Held, Options, noted
from services.intake.actions.bodies import ContactConfirmed, ProofRevoked
from services.intake.core.errors import BadRequest
from services.intake.core.metrics import REQUESTS
from services.intake.core.schemas import IdentityProof, Verification
from services.intake.identity import proof_links, stopped
from services.intake.identity.proving import Proved, named
from services.intake.incidents import record as incidents
from services.intake.letters import correspondence
from services.intake.packages import releases
from services.intake.request.aggregate import Request, Transition, asks_for
from services.intake.request.lifecycle import State
from services.intake.request.same_person import UNKNOWN
from services.intake.store import lookup, other_requests
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.identities import Identity, IdentityType
from shared.domain.proofs import as_stated, highest_level, proves_the_same_person, without_proof_of
from shared.domain.release import ReleaseFault
from shared.domain.rights import NOTHING, Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.subject_data import SubjectData, encode_identities
from shared.storage.vault import DROPPED, TAKEN_BACK

BY_TWO: Final = frozenset({Right.ACCESS, Right.PORTABILITY, Right.ERASURE, Right.RECTIFICATION})
"""The rights whose requests open data, destroy them, or change the address by which their subject is proved."""
REVOKE: Final = "revoke-proof"
WHY: Final[Mapping[stopped.Why, str]] = {
    "disowned": "the recipient says that they have asked for nothing",
    "withheld": "too many links were asked for, so the last was not sent",
    "wrong_codes": "too many wrong codes",
}


def entered_by_hand(held: Held) -> bool:
    """Whether proof that is entered now takes a second person."""
    return held.caller.grant.by_hand and held.request.right in BY_TWO


async def stated_by(held: Held) -> list[Identity]:
    """Identities that the requester has stated; empty once their key is gone."""
    known = await _known(held.tx, held.request)
    return [each for each in known.identities if each.source == "requester"] if known else []


async def stated(held: Held, _: object) -> str:
    """Where the request stands, and a keyed hash of what is stated: what is stated later was not looked at."""
    said = "".join(f"\0{each.type}\0{each.value}" for each in await stated_by(held))
    digest = hmac.digest(held.tx.vault.keyring.lookup, f"by hand{said}".encode(), "sha256").hex()
    return f"{held.request.state} {digest}"


async def verify(held: Held, said: Verification) -> Transition:
    """The requester has proved who they are: work begins, or goes on with what had waited for that.

    Raises ``BadRequest``, ``IllegalTransition``.
    """
    tx, request, means = held.tx, held.request, held.means
    request.must_be_ours()
    known = await _known(tx, request)
    if known is None:
        raise Shredded("the subject's key is gone, so the requester is unknown")
    mine = [each for each in known.identities if each.source == "requester"]
    grant = held.caller.grant
    proved = means.proving.prove(mine, said.assurance, said.proofs, grant, tx.now)
    must_be_the_same_person(known, means.proving.prove(as_stated(mine), said.assurance, said.proofs, grant, tx.now))
    needed = request.lacks or means.identity.least(asks_for(request.right, request.scope, known.changes))
    if (most := highest_level(proved.identities)) < needed:
        raise BadRequest(f"{request.right} needs level {needed}; {most} is not enough")
    detail: dict[str, JsonValue] = dict(said.assurance) if said.assurance else {}
    detail["proofs"] = [*proved.evidence]
    verified = request.verify(detail, tx.now, means.policy)
    tx.after_commit(REQUESTS.labels(request.right, "identity_verified").inc)
    await correspondence.seal(tx, request, "identities", "requester", encode_identities(proved.identities))
    await other_requests.prove(tx, request, proved.identities)
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


async def _confirm_on_file(held: Held, said: ContactConfirmed) -> Transition:
    """Counts the request as the contact's on file: answers go there, the asker's unproved address is dropped."""
    proof = IdentityProof(identity="account_id", method=proof_links.METHOD)
    verified = await verify(held, Verification(proofs=(proof,)))
    level = held.means.identity.methods[proof_links.METHOD].level
    theirs = Identity(IdentityType.EMAIL, said.address, source="requester", level=level)
    unproved = [i for i in await stated_by(held) if i.type is IdentityType.EMAIL and i.level == NOTHING]
    await correspondence.seal(held.tx, held.request, "identities", DROPPED, encode_identities(unproved))
    await correspondence.seal(held.tx, held.request, "identities", "requester", encode_identities([theirs]))
    await lookup.enter(held.tx, [(held.request.request_id, [theirs], UNKNOWN)])
    return verified


async def _revoke(held: Held, said: ProofRevoked) -> Transition:
    """A proof was wrong: from now on it counts for nothing, and what was found by it is dropped.

    Raises ``BadRequest``.
    """
    tx, request = held.tx, held.request
    request.must_be_ours()
    await _forget(tx, request, said.identity)
    detail: dict[str, JsonValue] = {"identity": said.identity, "holder": held.caller.holder}
    detail |= await noted(held, "taken_back", said.note)
    if request.state is State.CLOSED:
        if any(task.changed or task.count_unknown for task in request.tasks or ()):
            await incidents.open_one(tx, request.request_id, request.request_id, ReleaseFault.NOT_PROVED, downloads=0)
        request = replace(request, package_fault=await _check_package(tx, request))
    return request.noted("proof.taken_back", **detail)


async def _doubted(held: Held) -> Transition:
    """A proposal withholds the package; its rejection says that the proof was theirs, so links are good again."""
    request = held.request
    await stopped.lift(held.tx, request.request_id)
    return Transition(replace(request, package_fault=await _check_package(held.tx, request)))


async def _check_package(tx: UnitOfWork, request: Request) -> ReleaseFault | None:
    if request.package_id is None or request.package_is_gone:
        return None
    return await releases.check(tx, await releases.held(tx, request.request_id))


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
    await correspondence.seal(tx, request, "identities", TAKEN_BACK, encode_identities(less.values()))
    await tx.vault.drop_located(tx.connection, request.subject_ref)
    await other_requests.prove(tx, request, [less.get((each.type, each.value), each) for each in mine])


async def _known(tx: UnitOfWork, request: Request) -> SubjectData | None:
    return (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)


async def _why_stopped(held: Held) -> list[tuple[str, str]]:
    found = await stopped.why(held.tx.connection, held.means.identity.links.failures, held.request.request_id)
    return [("Waits for a person", WHY[each]) for each in found]


def _methods(held: Held) -> Options:
    known = sorted(held.means.identity.methods.items())
    by_hand = [(name, method) for name, method in known if method.by_hand]
    return [(name, f"{name.replace('_', ' ')} ({method.level} at most)") for name, method in by_hand]


def _may_verify(held: Held) -> bool:
    request = held.request
    return (request.allows("verify") or request.resumable) and request.role != "processor"


ACTIONS: Final[Sequence[Action]] = (
    Action(
        "requests/verify",
        verify,
        _may_verify,
        Verification,
        channel=True,
        second=lambda held, _: entered_by_hand(held),
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
        lambda held: held.request.role != "processor" and not held.request.anonymous,
        ProofRevoked,
        reads=_why_stopped,
        channel=True,
        second=lambda held, _: held.request.state is State.CLOSED,
        target=("identity",),
        shows=("identity",),
        proposed="proof.doubted",
        meanwhile=_doubted,
        final=True,
    ),
)
