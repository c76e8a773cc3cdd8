"""By which of somebody's identities marketing stops: also by numbers for which no register vouches; pure.

Art. 21(3): it stops for everybody who has the number. Nothing is shown, lost or found of others by that, so whose it
was and when is no matter, nor that the register is empty or in doubt.
"""

from collections.abc import Iterable, Sequence

from shared.domain.assignments import NUMBERS, AssignmentInDoubt, Register, number_of
from shared.domain.identities import Identity, ended
from shared.domain.levels import Level


def stopped_by(
    register: Register, identities: Sequence[Identity], tenant: str | None, least: Level
) -> tuple[Identity, ...]:
    """What the register vouches for, and every number that the requester states to have today.

    Raises as ``located_by``.
    """
    theirs = located_by(register, identities, tenant, least)
    today = {number_of(each) for each in theirs if each.valid_to is None}
    stated = at_their_word(identities, least)
    return (*theirs, *(each for each in stated if number_of(each) not in today))


def located_by(
    register: Register, identities: Sequence[Identity], tenant: str | None, least: Level
) -> tuple[Identity, ...]:
    """What the register vouches for, without stated numbers where it is in doubt: nobody waits to be located by them.

    Raises:
        AssignmentInDoubt: as ``Register.vouched``, of a number that the requester does not state
    """
    try:
        return register.vouched(identities, tenant, least)
    except AssignmentInDoubt:
        return register.vouched(without_stated(identities, least), tenant, least)


def at_their_word(identities: Iterable[Identity], least: Level) -> tuple[Identity, ...]:
    """The numbers that the requester states to have today, proved to that level."""
    stated = [i for i in identities if i.type in NUMBERS and i.source == "requester" and i.level >= least]
    gone = ended(stated)
    return tuple(each for each in stated if each not in gone)


def without_stated(identities: Sequence[Identity], least: Level = "L0") -> tuple[Identity, ...]:
    """These without the numbers that the requester states, whoever says them besides."""
    stated = {number_of(each) for each in at_their_word(identities, least)}
    return tuple(each for each in identities if number_of(each) not in stated)
