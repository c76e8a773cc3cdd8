"""Proofs that are taken back: it was not the requester's number, or somebody else had signed in.

While nothing is answered one word is enough. After that it takes two persons; until the second has spoken a package is
handed out to nobody. What was fetched, or was changed in a system, is then an incident (Art. 33).
"""

from dataclasses import replace

from pydantic import JsonValue

from services.intake import other_requests, releases
from services.intake.deciding import Held
from services.intake.decision_schemas import ProofTakenBack
from services.intake.errors import BadRequest
from services.intake.identity.proving import named
from services.intake.incidents import record as incidents
from services.intake.letters import correspondence
from services.intake.request.aggregate import Request, Transition
from services.intake.request.lifecycle import State
from shared.domain.errors import IllegalTransition
from shared.domain.levels import NOTHING
from shared.domain.proofs import without_proof_of
from shared.domain.release import Fault
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.subject_data import encode_identities
from shared.storage.vault import TAKEN_BACK

_SAY = """
INSERT INTO proof_taken_back (request_id, identity, first, first_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (request_id, identity) DO UPDATE SET second = $3, second_at = $4
WHERE proof_taken_back.first <> $3 AND proof_taken_back.second IS NULL RETURNING second IS NOT NULL
"""


async def take_back(held: Held, said: ProofTakenBack) -> Transition:
    """Takes a person's word that a proof was wrong: from then on it counts for nothing, and what was found by it goes.

    Raises:
        BadRequest: nothing is proved of an identity of that field.
        IllegalTransition: they have said so before, and it takes somebody else.
    """
    tx, request = held.tx, held.request
    request.must_be_ours()
    by_two = request.state is not State.CLOSED or await _second(held, said.identity)
    await _forget(tx, request, said.identity, counts=by_two)
    detail: dict[str, JsonValue] = {"identity": said.identity, "holder": held.caller.holder}
    if said.note:
        note = await correspondence.seal(tx, request, "explanation", "taken_back", said.note.encode())
        detail["note"] = str(note)
    if request.state is State.CLOSED:
        request = replace(request, package_fault=await look_again(tx, request, by_two=by_two))
    return request.noted("proof.taken_back" if by_two else "proof.doubted", **detail)


async def _second(held: Held, field: str) -> bool:
    """Whether it is the second who says so."""
    given = (held.request.request_id, field, held.caller.holder, held.tx.now)
    by_two: bool | None = await held.tx.connection.fetchval(_SAY, *given)
    if by_two is None:
        raise IllegalTransition("you have said this: it takes two persons, so somebody else must say it too")
    return by_two


async def _forget(tx: UnitOfWork, request: Request, field: str, *, counts: bool) -> None:
    """Lets the proof count for nothing, and drops what was located by it; not for whom the key is gone."""
    known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)
    if known is None:
        return
    stated = [each for each in known.identities if each.source == "requester"]
    wrong = named(stated, field)
    if wrong is None or wrong.level == NOTHING:
        raise BadRequest("nothing is proved of an identity of that field", "identity")
    if not counts:
        return
    less = {(each.type, each.value): each for each in without_proof_of(stated, wrong)}
    await correspondence.seal(tx, request, "identities", TAKEN_BACK, encode_identities(less.values()))
    await tx.vault.drop_located(tx.connection, request.subject_ref)
    await other_requests.prove(tx, request, [less.get((each.type, each.value), each) for each in stated])


async def look_again(tx: UnitOfWork, request: Request, *, by_two: bool = False) -> Fault | None:
    """Checks the package of an answered request; ``by_two``: of what was done in systems there is an incident, too."""
    if by_two and any(task.changed or task.uncounted for task in request.tasks or ()):
        await incidents.open_one(tx, request.request_id, request.request_id, Fault.NOT_PROVED, downloads=0)
    if request.package_id is None or request.package_is_gone:
        return None
    return await releases.check(tx, await releases.held(tx, request.request_id))
