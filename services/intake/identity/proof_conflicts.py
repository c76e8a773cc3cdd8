"""Proofs that are put aside: they may be another's than what was proved before, or systems are at work meanwhile.

Two people may each have proved a part of what one of them has typed. Until it is known nothing is searched by the later
proof, and nobody is let in by it. What a system finds meanwhile may show whose it is; else a person of ours settles it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import JsonValue

from services.intake import other_requests
from services.intake.deciding import Held
from services.intake.decision_schemas import ProofSettled
from services.intake.errors import BadRequest
from services.intake.identity import stopped
from services.intake.identity.proving import Proved, named
from services.intake.letters import correspondence
from services.intake.request.aggregate import Request, Transition
from shared.domain.errors import Shredded
from shared.domain.identities import Identity
from shared.domain.levels import NOTHING
from shared.domain.one_person import proves_the_same_person
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.subject_data import SubjectData, decode, encode_identities, merged
from shared.storage.vault import Sealing

_KIND = "proof_conflict"
_NOTHING_ENDED = (
    "no link and no code of it has ended: name the identity of a proof that was put aside; that a proof was somebody"
    " else's is said by /proof-withdrawal"
)


@dataclass(frozen=True, slots=True)
class _Aside:
    """What was proved at once, and where it lies in the vault."""

    place: UUID
    proofs: Sequence[Identity]

    def proves(self, wanted: Identity | None) -> bool:
        """Whether that identity is among them."""
        return any((each.type, each.value) == (wanted.type, wanted.value) for each in self.proofs if wanted)


async def put_aside(tx: UnitOfWork, request: Request, alone: Proved, *, shown: bool) -> Transition:
    """Puts aside what was proved at once; ``alone``: as well as the identities are proved by nothing else.

    ``shown``: whose it is, so it waits for the systems that are at work, and for no person.
    """
    aside = request.put_proof_aside({"proofs": [*alone.evidence]}, shown=shown)
    content = encode_identities(each for each in alone.identities if each.level > NOTHING)
    await tx.vault.seal(tx.connection, [Sealing(request.subject_ref, _KIND, "requester", content)], tx.now)
    return aside


async def settle(held: Held, said: ProofSettled, policy: TimeLimitPolicy, failures: int) -> Transition:
    """A person says of what was put aside with an identity whether it counts.

    Where nothing was, and links or codes had ended (``identity.stopped``), ``same_person`` lets them be good again.
    ``failures``: so many wrong codes end them.

    Raises:
        BadRequest: nothing was put aside with that identity, and no link or code has ended.
        IllegalTransition: the systems are at work; what they find may show it.
        Shredded: the subject's key is gone.
    """
    tx, request = held.tx, held.request
    if said.identity is None or not request.proof_conflict:
        return await _lift(held, said, failures)
    known, aside = await _known(tx, request), await _aside(tx, request)
    wanted = named([each for each in known.identities if each.source == "requester"], said.identity)
    chosen = [each for each in aside if each.proves(wanted)]
    if not chosen:
        return await _lift(held, said, failures)
    detail: dict[str, JsonValue] = {"holder": held.caller.holder, **await _noted(tx, request, said.note)}
    left = len(chosen) < len(aside)
    return await _end(tx, request, known, chosen, detail, policy, same=said.same_person, left=left)


async def _lift(held: Held, said: ProofSettled, failures: int) -> Transition:
    """Lets links and codes be good again: one person knows that they are theirs after all."""
    tx, request = held.tx, held.request
    if not said.same_person or not await stopped.lift(tx, failures, request.request_id):
        wrong = "no proof of an identity of that field was put aside" if said.identity else _NOTHING_ENDED
        raise BadRequest(wrong, "identity" if said.identity else "same_person")
    return request.noted("proof.lifted", holder=held.caller.holder, **await _noted(tx, request, said.note))


async def _noted(tx: UnitOfWork, request: Request, note: str | None) -> dict[str, JsonValue]:
    """Where it is kept how somebody knows; nothing, where they do not say.

    Raises:
        BadRequest: the key under which it would be kept is gone.
    """
    if not note:
        return {}
    if not await tx.vault.unshredded(tx.connection, [request.subject_ref]):
        raise BadRequest("the key of that person is gone, so no note can be kept any more: leave it out", "note")
    return {"note": str(await correspondence.seal(tx, request, "explanation", _KIND, note.encode()))}


async def look_again(tx: UnitOfWork, request: Request) -> bool:
    """Whether it is shown by now, by what systems have yielded, that something that was put aside is theirs."""
    if not request.proof_conflict or not await tx.vault.unshredded(tx.connection, [request.subject_ref]):
        return False
    known = await _known(tx, request)
    return any(proves_the_same_person(known.identities, each.proofs) for each in await _aside(tx, request))


async def join(tx: UnitOfWork, request: Request, policy: TimeLimitPolicy) -> Transition:
    """Lets count of what was put aside all that is shown to be theirs; see ``look_again``."""
    known, aside = await _known(tx, request), await _aside(tx, request)
    chosen = [each for each in aside if proves_the_same_person(known.identities, each.proofs)]
    return await _end(tx, request, known, chosen, {}, policy, same=True, left=len(chosen) < len(aside))


async def _end(
    tx: UnitOfWork,
    request: Request,
    known: SubjectData,
    chosen: Sequence[_Aside],
    detail: dict[str, JsonValue],
    policy: TimeLimitPolicy,
    *,
    same: bool,
    left: bool,
) -> Transition:
    """Lets what was chosen count, or not; ``left``: more was put aside than that."""
    proofs = [proof for each in chosen for proof in each.proofs]
    detail["proofs"] = [{"type": each.type, "level": each.level} for each in proofs]
    after = request.settle_proof(detail, tx.now, policy, same=same, left=left)
    for each in chosen:
        await tx.vault.drop_one(tx.connection, each.place)
    if same:
        stated = [each for each in known.identities if each.source == "requester"]
        await correspondence.seal(tx, request, "identities", "requester", encode_identities(proofs))
        await other_requests.prove(tx, request, merged([*stated, *proofs]))
    return after


async def _known(tx: UnitOfWork, request: Request) -> SubjectData:
    known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)
    if known is None:
        raise Shredded("the subject's key is gone, and nobody can tell any more who has asked")
    return known


async def _aside(tx: UnitOfWork, request: Request) -> list[_Aside]:
    found = await tx.vault.open_kind(tx.connection, request.subject_ref, _KIND)
    return [_Aside(place, decode(content).identities) for place, _, content in found]
