"""Places legal holds: data that a case needs are kept until two people, or a review, let them go (REQ-R9).

A hold is placed with its case, its reason and the day of its review, at most as far away as the policy says. Its
subject is stored as keyed hashes, and sealed in the vault under the id of the hold for the services that spare their
rows. Both are deleted when the hold is lifted.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Annotated, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, model_validator
from uuid_utils.compat import uuid7

from services.intake.access.auth import Caller
from services.intake.core.errors import BadRequest, NotFound, SamePerson
from services.intake.core.schemas import Strict
from services.intake.core.subject_schemas import DataSubject
from shared.domain.errors import IllegalTransition
from shared.domain.holds import HoldMarks, HoldPolicy, hold_policy
from shared.domain.policy import Policy
from shared.domain.rights import Level
from shared.domain.text import ONE_LINE
from shared.domain.time_limit import add_months
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.settings import PolicySettings
from shared.storage import holds
from shared.storage.holds import LegalHold
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData

CaseNumber = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=ONE_LINE.replace("*$", "+$"))
]
STATED: Level = "L3"
"""Level of what the privacy team states about a person."""
_PERSONAL = re.compile(r"@|\+\d{6}|\d{9}")
"""Marks of an address or a telephone number, which no number of a case has."""


class HoldReviewed(Strict):
    """The result of a review: the hold is needed until the next one, or no more."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"finding": "not_needed"}]})

    finding: Literal["needed", "not_needed"]
    review_on: date | None = Field(
        default=None, title="Day of the next review", description="Of a hold that is needed, as 2026-03-31"
    )

    @model_validator(mode="after")
    def _has_a_next_review(self) -> Self:
        if (self.finding == "needed") != (self.review_on is not None):
            raise ValueError("review_on belongs to a hold that is needed, and only there")
        return self


class HoldPlaced(Strict):
    """Data of a person that must not be erased, for a case."""

    case_number: CaseNumber = Field(
        title="Number of the case",
        examples=["LEG-2026-014"],
        description="As LEG-2026-014; it says nothing of the person",
    )
    reason: Annotated[str, StringConstraints(pattern="^[A-Z_]{1,64}$")] = Field(
        description="one of the policy's", examples=["LITIGATION"]
    )
    review_on: date = Field(title="Day of the first review", description="As 2026-03-31; within six months")
    categories: Annotated[tuple[str, ...], Field(max_length=20)] = Field(
        default=(), title="Categories", description="of the policy, as `call_record`; all, if left out"
    )
    subject: DataSubject = Field(
        description="whose data: name every account; an erasure of anybody who may be the same person stops before it."
        " It cannot be read again"
    )


class Holds:
    """Places, reviews and lifts holds."""

    def __init__(self, policy: HoldPolicy, processing: Policy) -> None:
        self._policy = policy
        self._categories = processing.categories.keys()
        self._zone = ZoneInfo(processing.controller.zone)

    @classmethod
    def of(cls, settings: PolicySettings) -> Self:
        """Reads the policy of holds, and the categories and zone of the policy of processing."""
        return cls(hold_policy(settings.overlay), settings.read_processing())

    def today(self, tx: UnitOfWork) -> date:
        """Returns today's date in the zone of the controller."""
        return tx.now.astimezone(self._zone).date()

    async def place(self, tx: UnitOfWork, said: HoldPlaced, caller: Caller) -> LegalHold:
        """Holds the data from now on; the caller owns the hold; raises ``BadRequest``."""
        if _PERSONAL.search(said.case_number):
            raise BadRequest("case_number looks like an address or a telephone number; give the case's", "case_number")
        if said.reason not in self._policy.reasons:
            known = ", ".join(sorted(self._policy.reasons))
            raise BadRequest(f"the policy knows no such reason for a hold; give one of {known}", "reason")
        if unknown := sorted({*said.categories} - self._categories):
            known = ", ".join(sorted(self._categories))
            raise BadRequest(f"the policy has no category {unknown[0]}; give some of {known}, or none", "categories")
        self._must_be_near(tx, said.review_on)
        hold = LegalHold(
            *(uuid7(), said.case_number, caller.holder, said.reason, sorted({*said.categories})),
            *(tx.now, said.review_on),
        )
        who = tuple(replace(each, level=STATED) for each in said.subject.identities())
        await holds.place(tx.connection, hold, HoldMarks.of(tx.vault.keyring, who))
        await tx.vault.insert_subjects(tx.connection, [tx.vault.new_subject(hold.hold_id, SubjectData(who), tx.now)])
        detail: dict[str, JsonValue] = {"reason": said.reason, "categories": [*hold.categories]}
        detail["review_on"] = said.review_on.isoformat()
        tx.log_evidence(hold.hold_id, "hold.placed", {"owner": caller.holder, **detail}, caller.actor)
        return hold

    async def review(self, tx: UnitOfWork, hold: LegalHold, said: HoldReviewed, caller: Caller) -> None:
        """Records a review: the hold stays until the next one, or ends on the day of the review.

        Raises ``IllegalTransition``, ``SamePerson``, ``BadRequest``.
        """
        _must_be_in_force(hold)
        if said.review_on is not None:
            self._must_be_near(tx, said.review_on)
            await holds.review(tx.connection, hold.hold_id, said.review_on)
            detail = {"finding": said.finding, "review_on": said.review_on.isoformat()}
            tx.log_evidence(hold.hold_id, "hold.reviewed", detail, caller.actor)
            return
        if self.today(tx) < hold.review_on:
            raise IllegalTransition(f"its review is on {hold.review_on}: before that day two people lift it")
        if caller.holder == hold.owner:
            raise SamePerson("the owner of a hold does not end it alone: another person reviews it")
        tx.log_evidence(hold.hold_id, "hold.reviewed", {"finding": said.finding}, caller.actor)
        await lift(tx, hold, [caller.holder], caller)

    def _must_be_near(self, tx: UnitOfWork, review_on: date) -> None:
        today = self.today(tx)
        latest = add_months(today, self._policy.longest_months)
        if not today < review_on <= latest:
            raise BadRequest(f"a hold is reviewed by {latest.isoformat()} at the latest, after today", "review_on")


async def lift(tx: UnitOfWork, hold: LegalHold, holders: Sequence[str], caller: Caller) -> None:
    """Lifts a hold: what only it has kept is erased; raises ``IllegalTransition`` if it is lifted already."""
    _must_be_in_force(hold)
    await holds.lift(tx.connection, hold.hold_id, holders, tx.now)
    tx.log_evidence(hold.hold_id, "hold.lifted", {"lifted_by": [*holders]}, caller.actor)


def _must_be_in_force(hold: LegalHold) -> None:
    if hold.lifted_at is not None:
        raise IllegalTransition("this hold is lifted; place another one, if the data must be held again")


async def read(connection: Connection, hold_id: UUID) -> LegalHold:
    """Returns the hold of that id; raises ``NotFound``."""
    found = await holds.read(connection, hold_id)
    if found is None:
        raise NotFound("no hold of that id")
    return found
