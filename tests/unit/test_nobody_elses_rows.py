"""Whatever is stated, whichever system lies, in any order: rows are touched or shown only as the register vouches.

The search (``shared.domain.assignments``) and the release check (``shared.domain.release``) are held to the same rule,
each by itself: a row is somebody's while the register shows its number as theirs and as nobody else's, and it is shown
to whoever is proved to be them as well as it needs.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.assignments import Assignment, AssignmentInDoubt, Line, Register, users_account
from shared.domain.identities import Identity, IdentityType
from shared.domain.levels import LEVELS, Level
from shared.domain.release import (
    Known,
    Match,
    Named,
    Span,
    first_fault,
    instructed_of,
    proved_of,
    stated_of,
    values_of,
)

NUMBERS, PEOPLE, DAYS = ("+493023125077", "+493023125078"), ("C1", "C2"), range(12)


class Held(NamedTuple):
    """A number was somebody's, alone or for several people, from one day to another or until now."""

    number: str
    account: str
    since: int
    until: int | None
    line: Line = Line.PERSONAL


class Said(NamedTuple):
    """What somebody says of a number: the requester, or a system that may lie."""

    number: str
    since: int | None
    until: int | None
    source: str
    level: Level


def day(number: int | None) -> datetime | None:
    return None if number is None else datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=number)


def at(number: int) -> datetime:
    return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=number)


def fingerprint(identity: Identity) -> bytes:
    return hashlib.sha256(f"{identity.type} {identity.value}".encode()).digest()


def holder(namespace: str, account: str) -> bytes:
    return hashlib.sha256(f"{namespace} {account}".encode()).digest()


def is_held(world: Sequence[Held], number: str, account: str, moment: int, line: Line = Line.PERSONAL) -> bool:
    """Whether it was theirs then, as such a line, and nobody else's."""
    held = [h for h in world if h.number == number and h.since <= moment < (DAYS.stop if h.until is None else h.until)]
    return {h.account for h in held} == {account} and line in {h.line for h in held}


def register_of(world: Sequence[Held], *, filled: bool) -> Register:
    rows: dict[bytes, list[Assignment]] = {}
    for held in world if filled else ():
        of = fingerprint(Identity(IdentityType.PHONE, held.number))
        assignment = Assignment(of, holder("crm", held.account), at(held.since), day(held.until), held.line)
        rows.setdefault(of, []).append(assignment)
    return Register("crm" if filled else "", rows, fingerprint, holder)


def known_of(world: Sequence[Held], identities: Sequence[Identity], least: Level, *, filled: bool) -> Known:
    theirs: dict[Named, list[Span]] = {}
    others: dict[Named, list[Span]] = {}
    lines: dict[Named, list[Span]] = {}
    proved = [identity for identity in identities if identity.level >= least]
    accounts = {i.value for i in proved if i.type is IdentityType.ACCOUNT_ID and i.source == "crm"}
    for held in world if filled else ():
        own = theirs if held.line is Line.PERSONAL else lines
        whose = own if held.account in accounts else others
        until = day(held.until) or datetime.max.replace(tzinfo=UTC)
        whose.setdefault(("phone", held.number), []).append((at(held.since), until))
    return Known(at(0), values_of(proved), stated_of(identities), theirs, others, lines, proved_of(proved))


_day = st.sampled_from(DAYS)
_held = st.builds(
    Held, st.sampled_from(NUMBERS), st.sampled_from(PEOPLE), _day, st.none() | _day, st.sampled_from(Line)
)
_world = st.lists(_held.filter(lambda h: h.until is None or h.since < h.until), max_size=5)
_level = st.sampled_from(LEVELS)
_source = st.sampled_from(["requester", "cdr", "crm"])
_said = st.builds(Said, st.sampled_from(NUMBERS), st.none() | _day, st.none() | _day, _source, _level).filter(
    lambda s: s.since is None or s.until is None or s.since < s.until
)
_claims = st.lists(
    st.sampled_from(["requester", "cdr", "billing"]).flatmap(
        lambda source: st.builds(lambda code, level: (code, source, level), st.sampled_from(PEOPLE), _level)
    ),
    max_size=2,
)
_request = st.tuples(st.sampled_from(PEOPLE), _level, st.lists(_said, min_size=1, max_size=4), _claims)


def identities_of(
    account: str, level: Level, said: Sequence[Said], claims: Sequence[tuple[str, str, Level]]
) -> list[Identity]:
    """What is known of a requester whose account the CRM has found by as much; others may claim other accounts."""
    numbers = [
        Identity(IdentityType.PHONE, s.number, day(s.since), day(s.until), s.source, level=s.level) for s in said
    ]
    accounts = [Identity(IdentityType.ACCOUNT_ID, code, source=source, level=how) for code, source, how in claims]
    return [Identity(IdentityType.ACCOUNT_ID, account, source="crm", level=level), *accounts, *numbers]


def searched(identities: Sequence[Identity], number: str, moment: int) -> bool:
    periods = [(i.valid_from, i.valid_to) for i in identities if i.type is IdentityType.PHONE and i.value == number]
    return any((s is None or s <= at(moment)) and (u is None or at(moment) < u) for s, u in periods)


@given(
    world=_world,
    requests=st.lists(_request, min_size=1, max_size=3).flatmap(st.permutations),
    filled=st.booleans(),
)
def test_only_rows_of_assignments_that_the_register_vouches_for_are_touched_or_shown(
    *, world: list[Held], requests: list[tuple[str, Level, list[Said], list[tuple[str, str, Level]]]], filled: bool
) -> None:
    done: Mapping[str, set[tuple[str, int]]] = {person: set() for person in PEOPLE}
    for (account, level, said, claims), needed in product(requests, LEVELS):
        identities = identities_of(account, level, said, claims)
        known = known_of(world, identities, needed, filled=filled)
        before = set(done[account])
        for number in NUMBERS:  # a system that lies gives every row there is, one by one
            for moment in DAYS:
                if first_fault([[Match("phone", number, at(moment))]], known) is None:
                    done[account].add((number, moment))
        try:
            vouched = register_of(world, filled=filled).vouched(identities, least=needed)
        except AssignmentInDoubt:
            vouched = ()
        done[account].update((n, moment) for n in NUMBERS for moment in DAYS if searched(vouched, n, moment))
        assert level >= needed or done[account] == before
    for account, rows in done.items():
        assert all(filled and is_held(world, number, account, moment) for number, moment in rows)


_tenant = st.sampled_from(["acme", "beta", None])
_row = st.tuples(st.sampled_from(NUMBERS), _day, _tenant)


@given(
    world=_world,
    tenant=st.sampled_from(["acme", "beta"]),
    said=st.lists(_said, min_size=1, max_size=4),
    claims=_claims,
    rows=st.lists(_row, min_size=1, max_size=8),
    filled=st.booleans(),
)
@example(  # a time in which the register shows the number as nobody's
    world=[Held(NUMBERS[0], "C1", 0, 3)],
    tenant="acme",
    said=[Said(NUMBERS[0], 5, None, "requester", "L3")],
    claims=[("C1", "requester", "L3")],
    rows=[(NUMBERS[0], 6, "acme")],
    filled=True,
)
def test_whatever_a_customer_states_no_row_is_shown_but_its_own_nor_one_that_the_register_shows_as_somebody_elses(
    *,
    world: list[Held],
    tenant: str,
    said: list[Said],
    claims: list[tuple[str, str, Level]],
    rows: list[tuple[str, int, str | None]],
    filled: bool,
) -> None:
    """Of whom a customer speaks the register knows by that customer's name: ours are ``C1``, theirs ``acme/C1``."""
    for named in (False, True):
        users = [held._replace(account=users_account(tenant, held.account)) for held in world] if named else world
        identities = identities_of("C1", "L3", said, claims)
        stated = [account for account, source, _ in claims if source == "requester"]
        mine = {users_account(tenant, account) for account in stated}
        known = known_of_tenant(users, identities, mine, tenant, filled=filled)
        for number, moment, owner in rows:
            if first_fault([[Match("phone", number, at(moment), owner or "")]], known) is None:
                assert owner == tenant
                assert may_be_theirs(users if filled else (), number, mine, moment)
        try:
            vouched = register_of(users, filled=filled).vouched(identities, tenant)
        except AssignmentInDoubt:
            continue
        for number in NUMBERS:
            for moment in DAYS:
                if searched(vouched, number, moment):
                    assert may_be_theirs(users if filled else (), number, mine, moment)


def may_be_theirs(world: Sequence[Held], number: str, mine: set[str], moment: int) -> bool:
    """Whether it was the one's then of whom the customer speaks, and nobody else's; or the register never knew it."""
    known = [h for h in world if h.number == number]
    holders = {h.account for h in known if h.since <= moment < (DAYS.stop if h.until is None else h.until)}
    return not known or (bool(holders) and holders <= mine)


def known_of_tenant(
    world: Sequence[Held], identities: Sequence[Identity], mine: set[str], tenant: str, *, filled: bool
) -> Known:
    theirs: dict[Named, list[Span]] = {}
    others: dict[Named, list[Span]] = {}
    for held in world if filled else ():
        whose = theirs if held.account in mine else others
        until = day(held.until) or datetime.max.replace(tzinfo=UTC)
        whose.setdefault(("phone", held.number), []).append((at(held.since), until))
    proved = proved_of(identities) | instructed_of(identities, theirs.keys() | others.keys())
    return Known(at(0), values_of(identities), stated_of(identities), theirs, others, {}, proved, tenant)
