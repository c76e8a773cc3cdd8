"""Whether what is proved later is proved by the same person as what was proved before (REQ-S1); pure.

A request states what somebody has typed, and that may be anybody's: whoever proves one of its identities has shown
nothing of the others, and nobody has shown that one person proves both. What is proved at once, in one session of a
channel, is one person's by that channel's word.
"""

from collections.abc import Iterable
from dataclasses import replace

from shared.domain.identities import Identity
from shared.domain.levels import NOTHING


def as_stated(identities: Iterable[Identity]) -> tuple[Identity, ...]:
    """The same as if nothing of them were proved."""
    return tuple(replace(each, level=NOTHING, together=False, proved_since=None) for each in identities)


def proves_the_same_person(known: Iterable[Identity], proofs: Iterable[Identity]) -> bool:
    """Whether what is proved at once belongs to whoever has proved something before.

    ``known``: what the requester has stated, as well as it is proved by now, and what systems have yielded, which was
    found by what is proved. ``proofs``: what is proved at once.

    It does where nothing was proved before; where something of it was proved before; and where a system says that it
    is filed under whoever was found, and not other people's too. Of anything else nobody has shown it.
    """
    every = tuple(known)
    shared = {_key(each) for each in every if each.shared}
    theirs = {_key(each) for each in every if _is_theirs(each)} - shared
    proved_before = any(each.source == "requester" and each.level > NOTHING for each in every)
    proved_now = {_key(each) for each in proofs if each.level > NOTHING}
    return not proved_before or not proved_now or not theirs.isdisjoint(proved_now)


def _is_theirs(each: Identity) -> bool:
    """Whether it is proved, or found by what is, and theirs today."""
    return each.level > NOTHING and (each.source == "requester" or (each.valid_to is None and not each.claimed))


def _key(each: Identity) -> tuple[str, str]:
    return each.type, each.value
