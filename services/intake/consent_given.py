"""A person who gets no marketing consents anew (Art. 4(11), 7(1)): then they come off the list, with proof on record.

Their own act alone takes them off: who enters it says when they consented, to which text, and where the proof lies. An
objection that is later than that stands.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, JsonValue
from uuid_utils.compat import uuid7

from services.intake.auth import Caller
from services.intake.errors import BadRequest, Forbidden
from services.intake.grant import Power
from services.intake.schemas import Strict
from services.intake.suppression_check import ContactPoint, fingerprint_of
from shared.domain.moments import Moment
from shared.domain.text import Word
from shared.domain.user_events import Reference
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage import consents

Entered = Literal["taken_off", "was_not_listed", "objected_since", "unreadable"]


class ConsentGiven(Strict):
    """Who has consented anew, to what, when, and how that is proved."""

    contact_points: Annotated[tuple[ContactPoint, ...], Field(min_length=1, max_length=20)] = Field(
        description="of one person: by what they want to be reached"
    )
    purposes: Annotated[tuple[Word, ...], Field(min_length=1, max_length=20)] = Field(examples=[["marketing"]])
    given_at: Moment = Field(description="when they consented; an objection after it stands")
    consent_text: Reference = Field(description="which version of the text they consented to")
    proof: Reference = Field(description="where the proof lies, as the number of a record; it names nobody")


@dataclass(frozen=True, slots=True)
class Given:
    """What came of each contact point, in their order, and by which id the evidence knows it."""

    consent_id: UUID
    entered: Sequence[Entered]


async def enter(unit_of_work: UnitOfWorkFactory, said: ConsentGiven, caller: Caller) -> Given:
    """Takes them off the lists, and puts on record what shows that they wanted it.

    Raises:
        Forbidden: the key is neither the privacy team's nor a channel's that was made for it, or it is a customer's.
        BadRequest: nobody processes anything for one of the purposes by consent, or it was given in the future.
    """
    caller.must_be("privacy", "channel")
    if caller.role == "channel":
        caller.grant.must(Power.CONSENT)
    if caller.grant.tenant:
        raise Forbidden(f"this key is {caller.grant.tenant}'s: the list is of those who get no marketing of ours")
    policy = unit_of_work.policy
    if strange := {*said.purposes} - policy.consents:
        known = ", ".join(sorted(policy.consents))
        raise BadRequest(f"{len(strange)} of the purposes rest on no consent; write {known}", "purposes")
    prints = [fingerprint_of(unit_of_work.vault.keyring, each) for each in said.contact_points]
    consent_id = uuid7()
    async with unit_of_work.begin() as tx:
        if said.given_at > tx.now:
            raise BadRequest("nobody has consented in the future: say when they did", "given_at")
        marketing = any(policy.purposes[each].direct_marketing for each in said.purposes)
        asked = {each for each in prints if each}
        gone, later = await consents.give(tx.connection, asked, said.purposes, said.given_at, marketing=marketing)
        entered: list[Entered] = [_entered(each, gone, later) for each in prints]
        detail: dict[str, JsonValue] = {"purposes": [*said.purposes], "proof": said.proof, "holder": caller.holder}
        detail |= {"consent_text": said.consent_text, "given_at": said.given_at.isoformat(), **Counter[str](entered)}
        tx.log_evidence(consent_id, "consent.given", detail, caller.actor)
    return Given(consent_id, entered)


def _entered(fingerprint: bytes | None, gone: set[bytes], later: set[bytes]) -> Entered:
    if fingerprint is None:
        return "unreadable"
    if fingerprint in later:
        return "objected_since"
    return "taken_off" if fingerprint in gone else "was_not_listed"
