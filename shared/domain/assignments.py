"""Decides whose a number was, and when, by the register of assignments, and where a system contradicts it.

Pure. A number is a telephone number, or a SIP user or extension with its domain: whatever passes from one person to the
next. What a requester says of its period can only narrow what the register says (REQ-N1, REQ-N2).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any, Final, NamedTuple

from shared.domain.errors import Refused
from shared.domain.identities import Identity, IdentityType, ended
from shared.domain.operations import Unsearched
from shared.domain.rights import Level

NUMBERS = frozenset({IdentityType.PHONE, IdentityType.SIP_URI})
"""The identities that are assigned for a time."""
SOURCE = "register"
"""The source of a number whose period the register vouches for."""

EVER, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


Claim = tuple[bytes, str, datetime, datetime | None]
"""A claim of a system: keyed hash of the number, system, and the period in which it was the subject's."""


class Line(StrEnum):
    """The users of a line: its holder alone, or several people."""

    PERSONAL = "personal"
    SHARED = "shared"


class AssignmentInDoubt(Refused):
    """The register names several holders of a number for one time, or does not show which one is asking."""


class Period(NamedTuple):
    """Half-open, UTC."""

    since: datetime
    until: datetime

    def cut(self, other: "Period") -> "Period | None":
        """Returns the common period, if there is one."""
        common = Period(max(self.since, other.since), min(self.until, other.until))
        return common if common.since < common.until else None

    def lasts_beyond(self, length: timedelta) -> bool:
        """Returns whether it is longer than ``length``."""
        return self.until - self.since > length


@dataclass(frozen=True, slots=True)
class Assignment:
    """A number that a person had for a time; ``identity`` and ``holder`` are keyed hashes (REQ-K2).

    ``holder``: hash of the account and its system. ``valid_to``: exclusive; None if it is still theirs. ``line``:
    several people use it, so it vouches for no call.
    """

    identity: bytes
    holder: bytes
    valid_from: datetime
    valid_to: datetime | None = None
    line: Line = Line.PERSONAL

    @property
    def period(self) -> Period:
        """Returns the period of the assignment."""
        return Period(self.valid_from, self.valid_to or NEVER)


@dataclass(frozen=True, slots=True)
class AssignedNumber:
    """A row of the register's source: a number in its one spelling, and the account that has or had it."""

    number: Identity
    account_id: str
    line: Line = Line.PERSONAL


@dataclass(frozen=True, slots=True)
class Register:
    """The register's entries for some numbers, with the hashed names of these and their holders.

    ``namespace``: the system whose accounts are the holders; empty while the register is empty. Then it vouches for
    nothing, and a number is searched where the channel states that it was proved. ``filled_at``: when its source was
    last read. ``settled``: claims of systems that a person has rejected.
    """

    namespace: str = ""
    assignments: Mapping[bytes, Sequence[Assignment]] | None = None
    fingerprint: Callable[[Identity], bytes] = lambda _: b""
    holder: Callable[[str, str], bytes] = lambda *_: b""
    filled_at: datetime | None = None
    settled: Collection[Claim] = frozenset()

    def of(self, number: Identity) -> Sequence[Assignment]:
        """Returns all assignments of a number."""
        return (self.assignments or {}).get(self.fingerprint(number), ())

    def vouched(
        self, identities: Sequence[Identity], tenant: str | None = None, least: Level = "L0"
    ) -> tuple[Identity, ...]:
        """Returns the identities, each number only in the periods in which the register confirms it.

        A number that was never theirs is left out, unless the channel vouches that they control it: then it counts from
        that time. The requester is identified by the account that the register's own source has found, never by a
        stated one. Identities proved below ``least`` are left out. Stated periods only narrow.

        For a ``tenant`` the customer's statement is the ground (Art. 28(3)(a)): a stated account is one of its own
        (``users_account``), and a number that the register does not know counts in the stated period. A known number
        counts as the register says.

        Raises:
            AssignmentInDoubt: the register's periods overlap, or do not show which holder is asking
        """
        others = tuple(i for i in identities if i.type not in NUMBERS and i.level >= least)
        holders = self.holders(identities, tenant, least)
        theirs = (self._theirs(stated, holders, tenant, least) for stated in _by_number(identities))
        return (*others, *(identity for periods in theirs for identity in periods))

    def not_theirs(self, identities: Sequence[Identity], vouched: Sequence[Identity]) -> tuple[Identity, ...]:
        """Returns registered numbers without a period in ``vouched``: other people's at all times."""
        theirs = {number_of(identity) for identity in vouched}
        numbers = (same[0] for same in _by_number(identities))
        return tuple(number for number in numbers if number_of(number) not in theirs and self.of(number))

    def subscribed(
        self, identities: Sequence[Identity], tenant: str | None = None, least: Level = "L0"
    ) -> tuple[Identity, ...]:
        """Returns each shared line that this person holds, with the periods of the register."""
        holders = self.holders(identities, tenant, least)
        lines: list[Identity] = []
        for stated in _by_number(identities):
            registered = self.of(stated[0])
            held = [each.period for each in registered if each.holder in holders and each.line is Line.SHARED]
            others = [each.period for each in registered if each.holder not in holders]
            lines += _within(stated, without(common_to(asked(stated), held), others), least)
        return tuple(lines)

    def holders(self, identities: Sequence[Identity], tenant: str | None = None, least: Level = "L0") -> set[bytes]:
        """Returns the hashed names of the subject in the register: accounts that its own source has found.

        For a ``tenant``: the users that it states.
        """
        accounts = [i for i in identities if i.type is IdentityType.ACCOUNT_ID and i.level >= least]
        known = [a.value for a in accounts if a.source == self.namespace] if tenant is None else []
        users = [users_account(tenant, a.value) for a in accounts if a.source == "requester"] if tenant else []
        return {self.holder(self.namespace, account) for account in (*known, *users)}

    def narrowed(self, identities: Sequence[Identity], *more: Any) -> bool:
        """Whether the requester's own dates leave out a time at which the register vouches for a number to them.

        So it is too where the register is in doubt of that time. ``more``: as ``vouched`` takes it.
        """
        dated = [each for each in identities if _is_dated(each)]
        if not dated:
            return False
        wide = [replace(each, valid_from=None, valid_to=None) if each in dated else each for each in identities]
        try:
            whole = self.vouched(wide, *more)
        except AssignmentInDoubt:
            return True
        return bool(set(whole) - set(self.vouched(identities, *more)))

    def _theirs(
        self, stated: Sequence[Identity], holders: set[bytes], tenant: str | None, least: Level
    ) -> list[Identity]:
        """One number in each period in which it was theirs, as far as it is asked for."""
        registered, wanted = self.of(stated[0]), asked(stated)
        own = [each for each in registered if each.holder in holders]
        mine = [each.period for each in own if each.line is Line.PERSONAL]
        shared = [each.period for each in own if each.line is Line.SHARED]
        foreign = [each.period for each in registered if each not in own]
        known = [i for i in stated if i.level >= least]
        proved = without((Period(i.proved_since, NEVER) for i in known if i.proved_since), shared)
        if tenant and not registered:
            proved += [_period(i) for i in known if i.source == "requester" and i.valid_from]
        vouched = list(common_to(wanted, (*mine, *proved)))
        if known and not holders and not proved and any(common_to(wanted, foreign)):
            raise AssignmentInDoubt("the register does not tell which holder of a number is asking: find their account")
        if any(common_to(vouched, foreign)):
            raise AssignmentInDoubt("the register names another holder of a number for the same time: correct it")
        return _within(stated, vouched, least)


def _by_number(identities: Iterable[Identity]) -> Iterable[list[Identity]]:
    """Groups identities by number."""
    numbers = sorted((i for i in identities if i.type in NUMBERS), key=number_of)
    return (list(same) for _, same in groupby(numbers, number_of))


def asked(stated: Sequence[Identity]) -> list[Period]:
    """The times for which the requester asks; all, where they say none."""
    said = (_period(i) for i in stated if i.source == "requester" and (i.valid_from or i.valid_to))
    return list(said) or [Period(EVER, NEVER)]


def _within(stated: Sequence[Identity], periods: Iterable[Period], level: Level) -> list[Identity]:
    """Returns the number in these periods, as the register vouches for it."""
    number = stated[0]
    return [
        Identity(number.type, number.value, since, None if until == NEVER else until, SOURCE, level=level)
        for since, until in _joined(periods)
    ]


def users_account(tenant: str, account_id: str) -> str:
    """Returns the name of a tenant's user in the register's source, next to our own customers."""
    return f"{tenant}/{account_id}"


def _is_dated(identity: Identity) -> bool:
    stated = identity.type in NUMBERS and identity.source == "requester"
    return stated and bool(identity.valid_from or identity.valid_to)


def number_of(identity: Identity) -> tuple[str, str]:
    """Returns type and value of a number, without source and period."""
    return identity.type, identity.value


def _period(identity: Identity) -> Period:
    return Period(identity.valid_from or EVER, identity.valid_to or NEVER)


def common_to(periods: Iterable[Period], others: Iterable[Period]) -> Iterable[Period]:
    """Yields what each of these has in common with each of those."""
    those = list(others)
    return (common for one in periods for other in those if (common := one.cut(other)) is not None)


def without(periods: Iterable[Period], others: Iterable[Period]) -> list[Period]:
    """Returns these periods without those."""
    left = list(periods)
    for hole in others:
        around = (Period(EVER, hole.since), Period(hole.until, NEVER))
        left = [part for one in left for side in around if side.since < side.until and (part := one.cut(side))]
    return left


def _joined(periods: Iterable[Period]) -> list[Period]:
    """Joins adjacent periods."""
    joined: list[Period] = []
    for period in sorted(periods):
        if joined and period.since <= joined[-1].until:
            joined[-1] = Period(joined[-1].since, max(joined[-1].until, period.until))
        else:
            joined.append(period)
    return joined


def lacking(needs: Collection[IdentityType]) -> Unsearched:
    """Returns why no identity leads to a system that is searched by one of these types only."""
    if NUMBERS.intersection(needs):
        return Unsearched.NOTHING_TO_SEARCH_BY
    return Unsearched.NO_ACCOUNT if {*needs} == {IdentityType.ACCOUNT_ID} else Unsearched.NO_IDENTIFIER


_NOT_OF_SYSTEMS = frozenset({SOURCE, "requester"})
"""Sources that cause no contradiction: a requester's dates only narrow."""


class Disagreement(StrEnum):
    """The register's answer where a system shows a number as the subject's."""

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
    """Returns the contradictions between the register and the systems about one subject.

    Not counted: times after the source was last read, differences up to ``edge``, what the requester did not ask for,
    and what a person has settled.
    """
    if register.filled_at is None:
        return ()
    holders = register.holders(identities, tenant)
    claims = (
        i for i in identities if i.type in NUMBERS and i.valid_from is not None and i.source not in _NOT_OF_SYSTEMS
    )
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


_ONE: Final[Level] = "L1"
_TWO: Final[Level] = "L2"


def check_contact_points(
    identities: Sequence[Identity], register: Register, on_file: timedelta, now: datetime
) -> tuple[Identity, ...]:
    """Returns the identities at the level that the register confirms.

    A proof by two contact points counts as one, with an exception: the systems know the address as one account's only,
    and the register shows the number as that account's line for at least ``on_file``. Then the account is proved as
    well as they are.
    """
    if not any(each.together for each in identities):
        return tuple(identities)
    account = _account(identities, register, now - on_file, now)
    if account is None:
        return tuple(replace(each, level=min(each.level, _ONE)) if each.together else each for each in identities)
    return tuple(replace(each, level=max(each.level, _TWO)) if each is account else each for each in identities)


def _account(identities: Sequence[Identity], register: Register, since: datetime, now: datetime) -> Identity | None:
    """Returns the only account that both contact points share."""
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


def stopped_by(
    register: Register, identities: Sequence[Identity], tenant: str | None, least: Level
) -> tuple[Identity, ...]:
    """Returns what stops marketing: what the register vouches for, and every number that the requester states today.

    Raises as ``located_by``.
    """
    theirs = located_by(register, identities, tenant, least)
    today = {number_of(each) for each in theirs if each.valid_to is None}
    stated = at_their_word(identities, least)
    return (*theirs, *(each for each in stated if number_of(each) not in today))


def located_by(
    register: Register, identities: Sequence[Identity], tenant: str | None, least: Level
) -> tuple[Identity, ...]:
    """Returns what the register vouches for, without stated numbers where it is in doubt.

    Raises:
        AssignmentInDoubt: as ``Register.vouched``, of a number that the requester does not state
    """
    try:
        return register.vouched(identities, tenant, least)
    except AssignmentInDoubt:
        return register.vouched(without_stated(identities, least), tenant, least)


def at_their_word(identities: Iterable[Identity], least: Level) -> tuple[Identity, ...]:
    """Returns the numbers that the requester states to have today, with at least that assurance level."""
    stated = [i for i in identities if i.type in NUMBERS and i.source == "requester" and i.level >= least]
    gone = ended(stated)
    return tuple(each for each in stated if each not in gone)


def without_stated(identities: Sequence[Identity], least: Level = "L0") -> tuple[Identity, ...]:
    """Returns the identities without numbers that the requester states."""
    stated = {number_of(each) for each in at_their_word(identities, least)}
    return tuple(each for each in identities if number_of(each) not in stated)
