"""Two contact points prove more than one only if both lead to one account of ours (REQ-S3); pure.

A channel says that a number is on file; we look. Whoever reads somebody's mail needs but any number of their own.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.domain.assignments import Line, Register
from shared.domain.identities import Identity, IdentityType
from shared.domain.levels import Level

_ONE: Final[Level] = "L1"
_TWO: Final[Level] = "L2"


def confirmed(
    identities: Sequence[Identity], register: Register, on_file: timedelta, now: datetime
) -> tuple[Identity, ...]:
    """The identities, each as well proved as the register bears it out.

    What is proved by two contact points proves no more than one, unless the systems know the address as that of one
    account alone, and the register shows the number as that account's, for its own line, and for as long as that takes
    already (``on_file``). Then the account is as well proved as they are.
    """
    if not any(each.together for each in identities):
        return tuple(identities)
    account = _account(identities, register, now - on_file, now)
    if account is None:
        return tuple(replace(each, level=min(each.level, _ONE)) if each.together else each for each in identities)
    return tuple(replace(each, level=max(each.level, _TWO)) if each is account else each for each in identities)


def _account(identities: Sequence[Identity], register: Register, since: datetime, now: datetime) -> Identity | None:
    """The one account to which both contact points lead."""
    found = [each for each in identities if each.source == register.namespace and each.level >= _ONE]
    accounts = [each for each in found if each.type is IdentityType.ACCOUNT_ID]
    if len(accounts) != 1:
        return None
    stated = [each for each in identities if each.together and each.level >= _TWO]
    addresses = {each.value for each in stated if each.type is IdentityType.EMAIL}
    known = any(i.type is IdentityType.EMAIL and i.value in addresses and i.valid_to is None for i in found)
    holder = register.holder(register.namespace, accounts[0].value)
    assigned = any(
        (each.holder, each.line) == (holder, Line.PERSONAL)
        and each.valid_from <= since
        and (each.valid_to is None or each.valid_to > now)
        for number in stated
        if number.type is IdentityType.PHONE
        for each in register.of(number)
    )
    return accounts[0] if known and assigned else None
