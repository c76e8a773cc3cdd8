"""Compares rows found by an account with the subject's known identities (REQ-N5); pure.

Anyone can name any account in a message to a help desk, and a company's staff share one. So an account finds rows that
bear an address of the subject. A claimed account finds other rows only if its own record in the same system bears the
account and an identity of the subject. For any other row a person decides whose it is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from shared.domain.errors import LimitExceeded
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.operations import Exceeded, Limit, Operation
from shared.systems.contract import Task

_ADDRESSES = frozenset({IdentityType.EMAIL})
CONTACT_TYPES = frozenset({IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI})
PERSONAL_TYPES = CONTACT_TYPES | {IdentityType.CLIENT_ID}
"""Identities of one person. An account is not one, since anyone can name it."""


TYPE_OF_FIELD: Mapping[str, IdentityType] = {each.value: each for each in (*CONTACT_TYPES, IdentityType.NAME)}
"""Identity types by the field of a correction."""


class RowIdentity(NamedTuple):
    """An identity in a row, spelled as in the row.

    ``account_is_one_person``: each account there is declared to be one person, so numbers and names separate no one.
    ``is_own_record``: the row is the record of the account or person, and not one that only names an account.
    """

    type: IdentityType
    value: object
    account_is_one_person: bool = False
    is_own_record: bool = False


PartyIdentities = tuple[RowIdentity, ...]
"""Identities of one party of a row, and of the rows that led to it."""


def too_many_people(task: Task, rows: Iterable[PartyIdentities]) -> LimitExceeded | None:
    """Returns why nothing may be done with these rows: an account led to the rows of other people.

    For one request two people may confirm the number of people; no setting allows more than one. A restriction is
    lifted wherever it is found.
    """
    if task.operation is Operation.LIFT:
        return None
    row_list = [*rows]
    named = other_people(task.known, row_list)
    # Marketing stops wherever it might be theirs: nothing is handed out or lost by it (Art. 21(3)).
    unnamed = set[str]() if task.stops_marketing else unconfirmed(task.known, row_list)
    people = 1 + len(named) + len(unnamed)
    allowed = max(1, task.confirmed.get(Limit.MAX_PEOPLE, 0))
    if people <= allowed:
        return None
    why = [f"name {1 + len(named):,} people by their addresses, numbers or names"] if named else []
    why += ["rest on an account that nothing there shows to be theirs"] if unnamed else []
    return LimitExceeded(
        f"rows of an account {', and others '.join(why)}: they may be of {people:,} people, and no more than"
        f" {allowed:,} may be meant; nothing was done. Find out whose they are, or let two people confirm that all"
        " these rows are meant",
        Exceeded(limit=Limit.MAX_PEOPLE, found=people, allowed=allowed),
    )


def other_people(identities: Iterable[Identity], rows: Iterable[PartyIdentities]) -> set[frozenset[str]]:
    """Returns the identities of other people whose rows only an account has found.

    A proved account, or one from the register, finds every row without another e-mail address, since numbers belong to
    an account. If no address of the subject is known, one address there counts as theirs. A claimed account finds no
    row that names another person by an address, a number, or a name where the row has nothing else.
    """
    subject = _Subject.of(identities)
    values = [_values_of(row) for row in rows]
    own = (each for each, _ in values if not each.isdisjoint(subject.own))
    names = subject.names.union(*(_of(IdentityType.NAME, each) for each in own))
    foreign = {
        (subject.is_certain(each), named)
        for each, distinct in values
        if (named := frozenset(subject.foreign_identities(each, distinct, names)))
    }
    found = {each for _, each in foreign}
    if foreign and not subject.has_address and all(certain for certain, _ in foreign):
        found.discard(min(found, key=sorted))  # only a proved account is known: one address counts as theirs
    return found


def unconfirmed(identities: Iterable[Identity], rows: Iterable[PartyIdentities]) -> set[str]:
    """Returns claimed accounts whose rows bear neither another identity of the subject nor one of another person.

    The record of an account that also bears an identity of the subject confirms the account. A row that only names the
    account, such as a ticket, confirms no other row. A row without identities, such as a call, contradicts nothing and
    confirms nothing.
    """
    subject = _Subject.of(identities)
    rows = [*rows]
    values = [_values_of(row) for row in rows]
    own = [each for each, _ in values if not each.isdisjoint(subject.own)]
    names = subject.names.union(*(_of(IdentityType.NAME, each) for each in own))
    settled = set(subject.certain).union(*map(subject.confirmed_accounts, rows))
    claimed = set[_Value]()
    for each, distinct in values:
        if not subject.has_by_account_alone(each) or not each.isdisjoint(settled):
            continue
        if any(subject.foreign_identities(each, distinct, names)):
            settled |= each & subject.accounts
        claimed |= each & subject.accounts
    return {value for _, value in claimed - settled}


def identities_to_adopt(task: Task, rows: Iterable[PartyIdentities], identities: Iterable[Identity]) -> list[Identity]:
    """Returns the identities of a row that become known of the subject; ``rows``: the identities of its parties.

    Addresses and numbers of a row that only an account has found are left out. Where each account is declared to be one
    person a number is taken, and for a proved account an address too. Two people confirm rows, not identities: a row
    that needed their confirmation yields nothing.
    """
    subject = _Subject.of(task.known)
    by_account_alone = [row for row in rows if subject.has_by_account_alone(frozenset(_spelled(row)))]
    if not by_account_alone:
        return [*identities]
    certain = all(subject.is_certain(frozenset(_spelled(row))) for row in by_account_alone)
    if Limit.MAX_PEOPLE in task.confirmed and (
        not certain or any(subject.names_other_person(row) for row in by_account_alone)
    ):
        return []
    left_out = CONTACT_TYPES
    if all(any(each.account_is_one_person for each in row) for row in by_account_alone):
        left_out = frozenset() if certain else _ADDRESSES
    return [each for each in identities if each.type not in left_out]


_Value = tuple[IdentityType, str]


@dataclass(frozen=True, slots=True)
class _Subject:
    """Known identities: ``own``: valid today, without accounts; ``certain``: accounts that are not only claimed."""

    own: frozenset[_Value]
    accounts: frozenset[_Value]
    certain: frozenset[_Value]
    names: frozenset[str]

    @classmethod
    def of(cls, identities: Iterable[Identity]) -> "_Subject":
        known = [*identities]
        accounts = [each for each in known if each.type is IdentityType.ACCOUNT_ID]
        return cls(
            frozenset((i.type, i.value) for i in known if i.type in PERSONAL_TYPES and i.valid_to is None),
            frozenset((i.type, i.value) for i in accounts),
            frozenset((i.type, i.value) for i in accounts if not i.claimed),
            frozenset(i.value.casefold() for i in known if i.type is IdentityType.NAME),
        )

    def has_by_account_alone(self, values: frozenset[_Value]) -> bool:
        """Whether a row bears an account of the subject and no other identity of theirs."""
        return not values.isdisjoint(self.accounts) and values.isdisjoint(self.own)

    def confirmed_accounts(self, row: PartyIdentities) -> frozenset[_Value]:
        """Returns the accounts whose own record the row is, if it also bears another identity of the subject."""
        values = frozenset(_spelled(each for each in row if each.is_own_record))
        return values & self.accounts if not values.isdisjoint(self.own) else frozenset()

    @property
    def has_address(self) -> bool:
        """Whether an e-mail address of the subject is known."""
        return any(kind in _ADDRESSES for kind, _ in self.own)

    def is_certain(self, values: frozenset[_Value]) -> bool:
        """Whether a row bears an account of the subject that is not only claimed."""
        return not values.isdisjoint(self.certain)

    def names_other_person(self, row: PartyIdentities) -> bool:
        """Whether a row bears an e-mail address."""
        return any(kind in _ADDRESSES for kind, _ in _spelled(row))

    def foreign_identities(
        self, values: frozenset[_Value], distinct: frozenset[_Value], names: frozenset[str]
    ) -> Iterable[str]:
        """Returns identities of another person in a row that only an account has found; ``distinct``: candidates."""
        if not self.has_by_account_alone(values):
            return ()
        if self.is_certain(values):
            return _among(_ADDRESSES, distinct)
        if reached := _among(CONTACT_TYPES, distinct):
            return reached
        named = _of(IdentityType.NAME, distinct)
        return named if named.isdisjoint(names) else ()


def _values_of(row: PartyIdentities) -> tuple[frozenset[_Value], frozenset[_Value]]:
    """Returns the identities of a row, and those of them that separate people: usually all."""
    values, distinct = frozenset(_spelled(row)), [each for each in row if _separates(each)]
    return values, values if len(distinct) == len(row) else frozenset(_spelled(distinct))


def _separates(identity: RowIdentity) -> bool:
    return not identity.account_is_one_person or identity.type in _ADDRESSES


def _of(kind: IdentityType, values: Iterable[_Value]) -> frozenset[str]:
    return frozenset(value for each, value in values if each is kind)


def _among(kinds: frozenset[IdentityType], values: Iterable[_Value]) -> frozenset[str]:
    return frozenset(value for each, value in values if each in kinds)


def _spelled(row: Iterable[RowIdentity]) -> Iterator[_Value]:
    """Yields each identity in its normal form; a malformed one counts too if it has a digit or an @."""
    for kind, value, *_ in row:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str("" if value is None else value)
        try:
            spelled = normalise(kind, text)
        except MalformedIdentity:
            if not any(each == "@" or each.isdigit() for each in text):
                continue
            spelled = text.strip()
        yield kind, spelled.casefold() if kind is IdentityType.NAME else spelled
