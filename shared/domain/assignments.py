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
from shared.domain.identities import Identity, IdentityType, ended_identities
from shared.domain.operations import Unsearched
from shared.domain.rights import Level

NUMBERS = frozenset({IdentityType.PHONE, IdentityType.SIP_URI})
"""The identities that are assigned for a time."""
SOURCE = "register"
"""The source of a number whose period the register vouches for."""

EVER, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


SystemClaim = tuple[bytes, str, datetime, datetime | None]
"""A claim of a system: keyed hash of the number, system, and the period in which it was the subject's."""


class Line(StrEnum):
    """The users of a line: its holder alone, or several people."""

    PERSONAL = "personal"
    SHARED = "shared"


class AssignmentInDoubt(Refused):
    """The register names several holders of a number for one time, or does not show which one is asking."""


class AssignmentPeriod(NamedTuple):
    """Half-open, UTC."""

    since: datetime
    until: datetime

    def cut(self, other: "AssignmentPeriod") -> "AssignmentPeriod | None":
        """Returns the common period, if there is one."""
        common = AssignmentPeriod(max(self.since, other.since), min(self.until, other.until))
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
    def period(self) -> AssignmentPeriod:
        """Returns the period of the assignment."""
        return AssignmentPeriod(self.valid_from, self.valid_to or NEVER)


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
    settled: Collection[SystemClaim] = frozenset()

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
        confirmed = (self._own_periods(stated, holders, tenant, least) for stated in _by_number(identities))
        return (*others, *(identity for periods in confirmed for identity in periods))

    def not_theirs(self, identities: Sequence[Identity], vouched: Sequence[Identity]) -> tuple[Identity, ...]:
        """Returns registered numbers without a period in ``vouched``: other people's at all times."""
        own_numbers = {number_of(identity) for identity in vouched}
        numbers = (same[0] for same in _by_number(identities))
        return tuple(number for number in numbers if number_of(number) not in own_numbers and self.of(number))

    def subscribed(
        self, identities: Sequence[Identity], tenant: str | None = None, least: Level = "L0"
    ) -> tuple[Identity, ...]:
        """Returns each shared line that this person holds, with the periods of the register."""
        holders = self.holders(identities, tenant, least)
        lines: list[Identity] = []
        for stated in _by_number(identities):
            registered = self.of(stated[0])
            periods = [each.period for each in registered if each.holder in holders and each.line is Line.SHARED]
            others = [each.period for each in registered if each.holder not in holders]
            lines += _within(stated, periods_without(common_periods(requested_periods(stated), periods), others), least)
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

    def _own_periods(
        self, stated: Sequence[Identity], holders: set[bytes], tenant: str | None, least: Level
    ) -> list[Identity]:
        """Yields one identity for each requested period in which the number was the subject's."""
        registered, wanted = self.of(stated[0]), requested_periods(stated)
        own = [each for each in registered if each.holder in holders]
        own_periods = [each.period for each in own if each.line is Line.PERSONAL]
        shared = [each.period for each in own if each.line is Line.SHARED]
        foreign = [each.period for each in registered if each not in own]
        known = [i for i in stated if i.level >= least]
        proved = periods_without((AssignmentPeriod(i.proved_since, NEVER) for i in known if i.proved_since), shared)
        if tenant and not registered:
            proved += [_period(i) for i in known if i.source == "requester" and i.valid_from]
        vouched = list(common_periods(wanted, (*own_periods, *proved)))
        if known and not holders and not proved and any(common_periods(wanted, foreign)):
            raise AssignmentInDoubt("the register does not tell which holder of a number is asking: find their account")
        if any(common_periods(vouched, foreign)):
            raise AssignmentInDoubt("the register names another holder of a number for the same time: correct it")
        return _within(stated, vouched, least)


def _by_number(identities: Iterable[Identity]) -> Iterable[list[Identity]]:
    """Groups identities by number."""
    numbers = sorted((i for i in identities if i.type in NUMBERS), key=number_of)
    return (list(same) for _, same in groupby(numbers, number_of))


def requested_periods(stated: Sequence[Identity]) -> list[AssignmentPeriod]:
    """Returns the periods for which the requester asks; all time if they state none."""
    stated_periods = (_period(i) for i in stated if i.source == "requester" and (i.valid_from or i.valid_to))
    return list(stated_periods) or [AssignmentPeriod(EVER, NEVER)]


def _within(stated: Sequence[Identity], periods: Iterable[AssignmentPeriod], level: Level) -> list[Identity]:
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


def _period(identity: Identity) -> AssignmentPeriod:
    return AssignmentPeriod(identity.valid_from or EVER, identity.valid_to or NEVER)


def common_periods(
    periods: Iterable[AssignmentPeriod], others: Iterable[AssignmentPeriod]
) -> Iterable[AssignmentPeriod]:
    """Yields what each of these has in common with each of those."""
    those = list(others)
    return (common for one in periods for other in those if (common := one.cut(other)) is not None)


def periods_without(periods: Iterable[AssignmentPeriod], others: Iterable[AssignmentPeriod]) -> list[AssignmentPeriod]:
    """Returns these periods without those."""
    remaining = list(periods)
    for hole in others:
        sides = (AssignmentPeriod(EVER, hole.since), AssignmentPeriod(hole.until, NEVER))
        remaining = [part for one in remaining for side in sides if side.since < side.until and (part := one.cut(side))]
    return remaining


def _joined(periods: Iterable[AssignmentPeriod]) -> list[AssignmentPeriod]:
    """Joins adjacent periods."""
    joined: list[AssignmentPeriod] = []
    for period in sorted(periods):
        if joined and period.since <= joined[-1].until:
            joined[-1] = AssignmentPeriod(joined[-1].since, max(joined[-1].until, period.until))
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


class ConflictKind(StrEnum):
    """The register's answer where a system shows a number as the subject's."""

    ANOTHER_HOLDER = "another_holder"
    NOT_IN_REGISTER = "not_in_register"


@dataclass(frozen=True, slots=True)
class RegisterConflict:
    """A system says that a number was the subject's from when to when, and the register does not.

    ``number``: the keyed hash by which the register knows it. ``valid_to``: exclusive; None where it still is theirs.
    """

    number: bytes
    system: str
    valid_from: datetime
    valid_to: datetime | None
    kind: ConflictKind


def conflicts_of(
    register: Register, identities: Sequence[Identity], edge: timedelta, tenant: str | None = None
) -> tuple[RegisterConflict, ...]:
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
    found = list[RegisterConflict]()
    for each in claims:
        rows = register.of(each)
        if tenant and not rows:
            continue  # of a customer's user the customer's word is the ground
        own = [row.period for row in rows if row.holder in holders]  # of a line that they share, too
        since, until = each.valid_from or EVER, each.valid_to or NEVER
        if any(period.since <= since and until <= period.until for period in own):
            continue  # as it mostly is
        about = [i for i in identities if number_of(i) == number_of(each)]
        proved = [AssignmentPeriod(i.proved_since, NEVER) for i in about if i.proved_since]
        others = [row.period for row in rows if row.holder not in holders]
        read = [AssignmentPeriod(EVER, register.filled_at)]
        claimed = common_periods(common_periods([AssignmentPeriod(since, until)], read), requested_periods(about))
        kind = _disagreement(periods_without(claimed, (*own, *proved)), others, edge)
        claim = (register.fingerprint(each), each.source, since, each.valid_to)
        if kind and claim not in register.settled:
            found.append(RegisterConflict(*claim, kind))
    return tuple(dict.fromkeys(found))


def _disagreement(
    disputed: Sequence[AssignmentPeriod], others: Sequence[AssignmentPeriod], edge: timedelta
) -> ConflictKind | None:
    longer = [each for each in disputed if each.lasts_beyond(edge)]
    if any(common_periods(longer, others)):
        return ConflictKind.ANOTHER_HOLDER
    return ConflictKind.NOT_IN_REGISTER if longer else None


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


def numbers_to_stop(
    register: Register, identities: Sequence[Identity], tenant: str | None, least: Level
) -> tuple[Identity, ...]:
    """Returns what stops marketing: what the register vouches for, and every number that the requester states today.

    Raises as ``numbers_to_locate``.
    """
    located = numbers_to_locate(register, identities, tenant, least)
    today = {number_of(each) for each in located if each.valid_to is None}
    stated = self_declared_numbers(identities, least)
    return (*located, *(each for each in stated if number_of(each) not in today))


def numbers_to_locate(
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


def self_declared_numbers(identities: Iterable[Identity], least: Level) -> tuple[Identity, ...]:
    """Returns the numbers that the requester states to have today, with at least that assurance level."""
    stated = [i for i in identities if i.type in NUMBERS and i.source == "requester" and i.level >= least]
    ended_ones = ended_identities(stated)
    return tuple(each for each in stated if each not in ended_ones)


def without_stated(identities: Sequence[Identity], least: Level = "L0") -> tuple[Identity, ...]:
    """Returns the identities without numbers that the requester states."""
    stated = {number_of(each) for each in self_declared_numbers(identities, least)}
    return tuple(each for each in identities if number_of(each) not in stated)
