"""Where a system and the register contradict one another about whose a number was; pure.

The register stands: nothing is touched in the time that is in dispute. But a difference is not narrowed away in
silence: it may be the register that is wrong, so a person looks (REQ-N1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.assignments import (
    EVER,
    NEVER,
    NUMBERS,
    SOURCE,
    Period,
    Register,
    asked,
    common_to,
    number_of,
    without,
)
from shared.domain.identities import Identity

_TOLD = frozenset({SOURCE, "requester"})
"""What a requester says narrows, and contradicts nobody."""


class Disagreement(StrEnum):
    """What the register says of a time in which a system takes a number to be the subject's."""

    ANOTHER_HOLDER = "another_holder"
    NOT_IN_REGISTER = "not_in_register"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A system says that a number was the subject's from when to when, and the register does not.

    ``number``: the keyed hash by which the register knows it. ``valid_to``: exclusive; None where it still is theirs.
    """

    number: bytes
    system: str
    valid_from: datetime
    valid_to: datetime | None
    kind: Disagreement


def conflicts_of(
    register: Register, identities: Sequence[Identity], edge: timedelta, tenant: str | None = None
) -> tuple[Conflict, ...]:
    """Every contradiction between the register and what systems have yielded of one subject.

    None is what the register cannot know yet (a time after its source was read last), what differs by no more than
    ``edge``, what the requester did not ask for, and what a person has settled.
    """
    if register.filled_at is None:
        return ()
    holders = register.holders(identities, tenant)
    claims = (i for i in identities if i.type in NUMBERS and i.valid_from is not None and i.source not in _TOLD)
    found = list[Conflict]()
    for each in claims:
        rows = register.of(each)
        if tenant and not rows:
            continue  # of a customer's user the customer's word is the ground
        own = [row.period for row in rows if row.holder in holders]  # of a line that they share, too
        since, until = each.valid_from or EVER, each.valid_to or NEVER
        if any(period.since <= since and until <= period.until for period in own):
            continue  # as it mostly is
        about = [i for i in identities if number_of(i) == number_of(each)]
        proved = [Period(i.proved_since, NEVER) for i in about if i.proved_since]
        others = [row.period for row in rows if row.holder not in holders]
        read = [Period(EVER, register.filled_at)]
        claimed = common_to(common_to([Period(since, until)], read), asked(about))
        kind = _disagreement(without(claimed, (*own, *proved)), others, edge)
        claim = (register.fingerprint(each), each.source, since, each.valid_to)
        if kind and claim not in register.settled:
            found.append(Conflict(*claim, kind))
    return tuple(dict.fromkeys(found))


def _disagreement(disputed: Sequence[Period], others: Sequence[Period], edge: timedelta) -> Disagreement | None:
    longer = [each for each in disputed if each.lasts_beyond(edge)]
    if any(common_to(longer, others)):
        return Disagreement.ANOTHER_HOLDER
    return Disagreement.NOT_IN_REGISTER if longer else None
