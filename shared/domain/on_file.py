"""Whom we ask of an account that somebody has named and not proved: its contacts on file (REQ-S1); pure."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final, Literal

from shared.domain.identities import Identity, IdentityType
from shared.domain.levels import NOTHING

NotAsked = Literal["unknown", "too_many", "changed_lately", "withheld", "over"]
"""Why nobody is asked: nobody is on file whom we could ask; more are than the policy lets us ask; one was changed of
late; too much went to them, or was asked for, in the last day; or nothing waits for it any more.
"""
UNKNOWN: Final[NotAsked] = "unknown"


def named(known: Iterable[Identity], proves: Collection[IdentityType]) -> Identity | None:
    """What a requester has named that is to be proved through its contact on file; None where nothing is.

    They have shown an e-mail address to be theirs, and what they named is neither proved nor yielded by what is.
    ``proves``: the types of identity that a contact on file proves.
    """
    every = tuple(known)
    proved = {(each.type, each.value) for each in every if each.level > NOTHING}
    stated = [each for each in every if each.source == "requester"]
    if not any(each.type is IdentityType.EMAIL and each.level > NOTHING for each in stated):
        return None
    left = (each for each in stated if each.type in proves and (each.type, each.value) not in proved)
    return next(left, None)


def to_ask(
    found: Iterable[Identity], asker: Collection[str], at_most: int, lately: datetime
) -> Sequence[str] | NotAsked:
    """The addresses on file that are asked, each once; or why none is.

    ``asker``: the addresses of whoever asks: a code that is sent there shows nothing that they have not shown.
    ``lately``: what the system says to be on file since a later instant makes all of them doubtful.
    """
    theirs = [each for each in found if each.type is IdentityType.EMAIL and each.source != "requester"]
    if any(each.valid_from and each.valid_from > lately for each in theirs):
        return "changed_lately"
    usable = (each for each in theirs if each.valid_to is None and not each.shared and each.value not in asker)
    contacts = list(dict.fromkeys(each.value for each in usable))
    if not contacts:
        return UNKNOWN
    return contacts if len(contacts) <= at_most else "too_many"
