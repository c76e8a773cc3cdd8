"""Whose a row is that an account has found: what it says of itself is compared with what is known of the subject.

Whoever writes to a help desk may name anybody's account, and a company's staff share one (REQ-N5). So an account leads
to rows that bear an address of the subject; one that is only claimed to no others unless its own record in the same
system bears both: a row that merely names it confirms nothing. Of any other a person says whose it is. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from shared.domain.errors import BlastRadius
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.operations import Exceeded, Limit, Operation
from shared.systems.contract import Task

_ADDRESSES = frozenset({IdentityType.EMAIL})
REACHED = frozenset({IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI})
OWN = REACHED | {IdentityType.CLIENT_ID}
"""What is a person's own, beside an account that anybody may name."""


NAMED: Mapping[str, IdentityType] = {each.value: each for each in (*REACHED, IdentityType.NAME)}
"""What a person is named by, by the field of a correction."""


class Said(NamedTuple):
    """One thing that a row says of whom it is about, as it stands there.

    ``of_one``: it stands where each account is declared to be one person's: numbers and names tell nobody apart there.
    ``record``: it stands in the record of that account or person itself, and not in a row that merely names an account.
    """

    type: IdentityType
    value: object
    of_one: bool = False
    record: bool = False


Row = tuple[Said, ...]
"""What one row says of one of its parties, and what the rows say by which it was found."""


def beyond(task: Task, rows: Iterable[Row]) -> BlastRadius | None:
    """Why nothing may be done with these rows of the task's subject: an account led to those of other people.

    Two persons may confirm for one request how many they are; no setting allows more than one. What was restricted is
    lifted where it was found.
    """
    if task.operation is Operation.LIFT:
        return None
    said = [*rows]
    named = others(task.known, said)
    # Marketing stops wherever it might be theirs: nothing is handed out or lost by it (Art. 21(3)).
    unnamed = set[str]() if task.stops_marketing else unconfirmed(task.known, said)
    people = 1 + len(named) + len(unnamed)
    allowed = max(1, task.confirmed.get(Limit.MAX_PEOPLE, 0))
    if people <= allowed:
        return None
    why = [f"name {1 + len(named):,} people by their addresses, numbers or names"] if named else []
    why += ["rest on an account that nothing there shows to be theirs"] if unnamed else []
    return BlastRadius(
        f"rows of an account {', and others '.join(why)}: they may be of {people:,} people, and no more than"
        f" {allowed:,} may be meant; nothing was done. Find out whose they are, or let two persons confirm that all"
        " these rows are meant",
        Exceeded(limit=Limit.MAX_PEOPLE, found=people, allowed=allowed),
    )


def others(identities: Iterable[Identity], rows: Iterable[Row]) -> set[frozenset[str]]:
    """By what else those people are named whom an account alone has found; empty where all rows are the subject's.

    An account that is proved, or that the register has yielded, leads to all that does not bear another's e-mail
    address: numbers are an account's. Of whom no address is known, one that stands there is theirs. An account that a
    row has claimed leads to nothing that names anybody else: by an address, a number, or a name where there is nothing
    else.
    """
    subject = _Subject.of(identities)
    told = [_said_by(row) for row in rows]
    theirs = (each for each, _ in told if not each.isdisjoint(subject.own))
    names = subject.names.union(*(_of(IdentityType.NAME, each) for each in theirs))
    strange = {
        (subject.is_certain(each), named)
        for each, telling in told
        if (named := frozenset(subject.strange(each, telling, names)))
    }
    found = {each for _, each in strange}
    if strange and not subject.has_address and all(certain for certain, _ in strange):
        found.discard(min(found, key=sorted))  # of whom nothing but a proved account is known one address is theirs
    return found


def unconfirmed(identities: Iterable[Identity], rows: Iterable[Row]) -> set[str]:
    """Accounts that are only claimed, and whose rows here neither are the subject's by anything else nor name another.

    The record of an account in the same system that bears something of the subject's own confirms it; a row that merely
    names it, as a ticket does, confirms no other row. What names nobody, as calls and what an erasure has left,
    contradicts nothing: that makes it nobody's who names its account.
    """
    subject = _Subject.of(identities)
    rows = [*rows]
    told = [_said_by(row) for row in rows]
    theirs = [each for each, _ in told if not each.isdisjoint(subject.own)]
    names = subject.names.union(*(_of(IdentityType.NAME, each) for each in theirs))
    settled = set(subject.certain).union(*map(subject.recorded, rows))
    resting = set[_Told]()
    for each, telling in told:
        if not subject.has_by_account_alone(each) or not each.isdisjoint(settled):
            continue
        if any(subject.strange(each, telling, names)):
            settled |= each & subject.accounts
        resting |= each & subject.accounts
    return {value for _, value in resting - settled}


def adopted(task: Task, said: Iterable[Row], told: Iterable[Identity]) -> list[Identity]:
    """What becomes known of the subject of what a row tells, which says that ``said`` of its parties.

    No address and no number of a row that nothing but an account has found. Where each account is declared to be one
    person's a number does, and where it is no claim an address as well. Two persons confirm rows, and nobody's
    identity: of one that needed their word nothing does.
    """
    subject = _Subject.of(task.known)
    alone = [row for row in said if subject.has_by_account_alone(frozenset(_spelled(row)))]
    if not alone:
        return [*told]
    certain = all(subject.is_certain(frozenset(_spelled(row))) for row in alone)
    if Limit.MAX_PEOPLE in task.confirmed and (not certain or any(subject.names_another(row) for row in alone)):
        return []
    left_out = REACHED
    if all(any(each.of_one for each in row) for row in alone):
        left_out = frozenset() if certain else _ADDRESSES
    return [each for each in told if each.type not in left_out]


_Told = tuple[IdentityType, str]


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is known of somebody: ``own`` today, without accounts; ``certain``: accounts that nobody only claims."""

    own: frozenset[_Told]
    accounts: frozenset[_Told]
    certain: frozenset[_Told]
    names: frozenset[str]

    @classmethod
    def of(cls, identities: Iterable[Identity]) -> "_Subject":
        known = [*identities]
        accounts = [each for each in known if each.type is IdentityType.ACCOUNT_ID]
        return cls(
            frozenset((i.type, i.value) for i in known if i.type in OWN and i.valid_to is None),
            frozenset((i.type, i.value) for i in accounts),
            frozenset((i.type, i.value) for i in accounts if not i.claimed),
            frozenset(i.value.casefold() for i in known if i.type is IdentityType.NAME),
        )

    def has_by_account_alone(self, told: frozenset[_Told]) -> bool:
        """Whether an account of theirs stands in a row, and nothing else by which they are known."""
        return not told.isdisjoint(self.accounts) and told.isdisjoint(self.own)

    def recorded(self, row: Row) -> frozenset[_Told]:
        """The accounts of which a row is the record itself, where it bears something of their own as well."""
        said = frozenset(_spelled(each for each in row if each.record))
        return said & self.accounts if not said.isdisjoint(self.own) else frozenset()

    @property
    def has_address(self) -> bool:
        """Whether an address of theirs is known."""
        return any(kind in _ADDRESSES for kind, _ in self.own)

    def is_certain(self, told: frozenset[_Told]) -> bool:
        """Whether an account of theirs stands in a row that is no claim."""
        return not told.isdisjoint(self.certain)

    def names_another(self, row: Row) -> bool:
        """Whether a row bears an address, none of theirs."""
        return any(kind in _ADDRESSES for kind, _ in _spelled(row))

    def strange(self, told: frozenset[_Told], telling: frozenset[_Told], names: frozenset[str]) -> Iterable[str]:
        """What of a row that nothing but an account has found names somebody else; ``telling``: what may."""
        if not self.has_by_account_alone(told):
            return ()
        if self.is_certain(told):
            return _among(_ADDRESSES, telling)
        if reached := _among(REACHED, telling):
            return reached
        named = _of(IdentityType.NAME, telling)
        return named if named.isdisjoint(names) else ()


def _said_by(row: Row) -> tuple[frozenset[_Told], frozenset[_Told]]:
    """What a row says, and what of it tells people apart: as a rule all of it."""
    said, telling = frozenset(_spelled(row)), [each for each in row if _tells(each)]
    return said, said if len(telling) == len(row) else frozenset(_spelled(telling))


def _tells(said: Said) -> bool:
    return not said.of_one or said.type in _ADDRESSES


def _of(kind: IdentityType, told: Iterable[_Told]) -> frozenset[str]:
    return frozenset(value for each, value in told if each is kind)


def _among(kinds: frozenset[IdentityType], told: Iterable[_Told]) -> frozenset[str]:
    return frozenset(value for each, value in told if each in kinds)


def _spelled(row: Iterable[Said]) -> Iterator[_Told]:
    """Each thing in its one spelling; what cannot be spelled, and is no word for nothing, names somebody too."""
    for kind, value, *_ in row:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str("" if value is None else value)
        try:
            spelled = normalise(kind, text)
        except MalformedIdentity:
            if not any(each == "@" or each.isdigit() for each in text):
                continue
            spelled = text.strip()
        yield kind, spelled.casefold() if kind is IdentityType.NAME else spelled
