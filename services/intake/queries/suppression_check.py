"""Whether contact points get marketing, as imports, mailings and diallers ask before they use them (Art. 21(3)).

It is an oracle: a caller learns who has objected. So it needs a power of its own, answers so many a minute, is on
record by counts alone, and says nothing but yes or no.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from uuid_utils.compat import uuid7

from services.intake.access.auth import Caller
from services.intake.access.grant import Power
from services.intake.access.quota import RateLimiter
from services.intake.core import metrics
from services.intake.core.errors import Forbidden
from services.intake.core.schemas import Strict
from shared.domain.identities import LONGEST, Identity, IdentityType, MalformedIdentity, normalise
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage import suppression
from shared.storage.keyring import Keyring

MOST = 10_000
"""Contact points of one call."""
Answer = Literal["suppressed", "not_suppressed", "unreadable"]
_MINUTE = 60.0


class ContactPoint(Strict):
    """An address or a number, in any spelling; a number without country code is unreadable."""

    type: Literal["email", "phone"]
    value: Annotated[str, Field(max_length=LONGEST)]


class Checked(BaseModel):
    """Whether each of them gets marketing, in the order in which they were asked about."""

    check_id: UUID = Field(description="by which the evidence knows this call")
    answers: list[Answer] = Field(
        description="send marketing to what is `not_suppressed`, and to nothing else; `unreadable` is no address and no"
        " number that anybody could be reached by: a number needs its country code"
    )


class SuppressionList:
    """Answers for one process; ``per_minute``: contact points that one channel may ask about."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, per_minute: int) -> None:
        self._unit_of_work = unit_of_work
        self._each = _MINUTE / per_minute
        self._rate = RateLimiter(per_second=1, burst_seconds=_MINUTE + 0.001)

    async def check(self, points: Sequence[ContactPoint], caller: Caller) -> Checked:
        """Whether each of them is on the list; raises ``Forbidden``, ``TooManyCalls``."""
        caller.must_be("channel")
        caller.grant.must(Power.CHECK)
        if caller.grant.tenant:
            raise Forbidden(f"this key is {caller.grant.tenant}'s: the list is of those who get no marketing from us")
        self._rate.take(caller.channel, len(points) * self._each)
        keyring = self._unit_of_work.vault.keyring
        prints = await asyncio.to_thread(lambda: [fingerprint_of(keyring, each) for each in points])
        check_id = uuid7()
        async with self._unit_of_work.begin() as tx:
            found = await suppression.listed(tx.connection, {each for each in prints if each})
            answers = [_answer(each, found) for each in prints]
            counts = Counter[str](answers)
            tx.log_evidence(check_id, "suppression.checked", {"asked": len(points), **counts}, caller.actor)
        for answer, count in counts.items():
            metrics.CHECKED.labels(answer).inc(count)
        return Checked(check_id=check_id, answers=answers)


def fingerprint_of(keyring: Keyring, point: ContactPoint) -> bytes | None:
    """Returns the keyed hash of a contact point; None if it is unreadable."""
    kind = IdentityType(point.type)
    try:
        return keyring.fingerprint(Identity(kind, normalise(kind, point.value)))
    except MalformedIdentity:
        return None


def _answer(fingerprint: bytes | None, found: set[bytes]) -> Answer:
    if fingerprint is None:
        return "unreadable"
    return "suppressed" if fingerprint in found else "not_suppressed"
