"""Checks the plausibility of results: implausible ones enter no evidence, certificate or further search."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime

from shared.domain.errors import AnswerMalformed
from shared.domain.identities import LONGEST, Identity
from shared.domain.operations import REFERENCE
from shared.systems.contract import Receipt, Result

MOST = 1_000_000_000
"""Highest plausible count of rows."""
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2100, 12, 31)
"""No number was assigned before the first day, and nothing is kept after the last."""
_CATEGORY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_GROUND = re.compile(r"(?!.*\d{4})[a-z][a-z0-9_]{1,47}")
"""A word of a team, or a rule of the policy. Four digits in a row could be part of a phone number."""
_REFERENCE = re.compile(REFERENCE)


def plausible(result: Result, system: str) -> Result:
    """Returns the result if it is plausible, else ``AnswerMalformed``.

    Dates before 1900 become 1900, and ends after 2100 become open, since some systems write unknown dates so.
    """
    if not isinstance(result, Receipt):
        return result
    if faults := _faults(result):
        return AnswerMalformed(f"{system} answers with {' and '.join(faults)}")
    if any(each.valid_from or each.valid_to for each in result.identities):
        return replace(result, identities=tuple(map(_with_plausible_period, result.identities)))
    return result


def _faults(receipt: Receipt) -> list[str]:
    """Returns what is implausible."""
    counts = (
        receipt.found,
        receipt.changed,
        receipt.remaining,
        *receipt.by_category.values(),
        *(receipt.corrected or ()),
    )
    known = receipt.identities
    holds = {
        f"a count below 0 or above {MOST}": all(type(count) is int and 0 <= count <= MOST for count in counts),
        "a category that is no word": all(
            map(_CATEGORY.fullmatch, (*receipt.by_category, *(receipt.categories or ())))
        ),
        "a ground that is no word": receipt.ground is None or _GROUND.fullmatch(receipt.ground),
        "a reference that is none": receipt.reference is None or _REFERENCE.fullmatch(receipt.reference),
        f"a day that is not from {FIRST_DAY} to {LAST_DAY}": FIRST_DAY <= (receipt.until or FIRST_DAY) <= LAST_DAY,
        "an implausible identity": all(0 < len(each.value) <= LONGEST and each.value.isprintable() for each in known),
    }
    return [fault for fault, fine in holds.items() if not fine]


def _with_plausible_period(known: Identity) -> Identity:
    since, until = known.valid_from, known.valid_to
    if since is not None and since.year < FIRST_DAY.year:
        since = datetime(FIRST_DAY.year, 1, 1, tzinfo=UTC)
    if until is not None and until.year > LAST_DAY.year:
        until = None
    return replace(known, valid_from=since, valid_to=until)
