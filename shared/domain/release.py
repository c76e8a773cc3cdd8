"""Checks a copy before release (REQ-S8): attributes every row again to its recipient; pure.

The check shares no code with the search. Each row carries the values that identify people and its time, as the system
wrote them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple
from unicodedata import combining, normalize

from shared.domain.errors import Refused
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.rights import Level

_DATED = frozenset({IdentityType.PHONE, IdentityType.SIP_URI})
_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))

REPORT: Final = "report.html"
"""The file of a package that people read; an access has one."""
TimeSpan = tuple[datetime, datetime]
"""Half-open, UTC."""
IdentityKey = tuple[str, str]
"""The type of an identity and its value, in its one spelling."""


WITHHELD = "withheld"
LEFT = "left_of_an_erasure"
"""A further state of a record: the person had it erased, and a rule keeps the rest."""
"""Stands in the place of what tells about another person, where who is shown the row may not see it (Art. 15(4))."""
ASSIGNED = "assigned"
"""The type of a number that a row says to be assigned to the subject, at the first and at the last moment of that."""


def withholds(data: Mapping[str, Any]) -> bool:
    """Returns whether a row hides other people's data, in a field or in its history."""
    former = data.get("former")
    former_values = former.values() if isinstance(former, dict) else ()
    return WITHHELD in data.values() or any(
        each == WITHHELD or (isinstance(each, list) and WITHHELD in each) for each in former_values
    )


class Match(NamedTuple):
    """A value that identifies a person in a row, and the time of the row; None: the row shows the present.

    ``tenant``: for whom the row is processed; empty: the company itself. None: its system does not separate tenants, so
    the row is the company's.
    """

    type: str
    value: str
    at: datetime | None = None
    tenant: str | None = None


class ReleaseRow(NamedTuple):
    """A row to release: its category, and the values by which a person can be found in it."""

    category: str
    matches: Sequence[Match]


class ReleaseFault(StrEnum):
    """Reasons why a package is withheld; all but the last: a row is not shown to be the subject's."""

    UNTRACED = "untraced"
    ANOTHER_TENANT = "another_tenant"
    NOT_THEIRS = "not_theirs"
    SHARED_IDENTIFIER = "shared_identifier"
    NOT_AT_THAT_TIME = "not_at_that_time"
    ANOTHER_HOLDER = "another_holder"
    NOT_PROVED = "not_proved"
    POLICY_UNSIGNED = "policy_unsigned"

    @property
    def sentence(self) -> str:
        """Returns the explanation for the privacy team."""
        return _SENTENCES[self]


_SENTENCES: Mapping[ReleaseFault, str] = {
    ReleaseFault.UNTRACED: "a row does not say by what it was found",
    ReleaseFault.ANOTHER_TENANT: "a row is processed for another customer than the one who has asked",
    ReleaseFault.NOT_THEIRS: "a row has nothing by which the subject is known",
    ReleaseFault.SHARED_IDENTIFIER: "a row is found by nothing but an address or a number that other people have too",
    ReleaseFault.NOT_AT_THAT_TIME: "a row is of a time at which nothing shows that its number was the subject's",
    ReleaseFault.ANOTHER_HOLDER: "a row is of a time at which the register shows its number as another person's",
    ReleaseFault.NOT_PROVED: "a row is of a kind for which the subject is not proved well enough to be who asks",
    ReleaseFault.POLICY_UNSIGNED: "the DPO has not signed what the copy tells of categories, recipients and identity;"
    " two people look at this package, which releases all of this version of the policy",
}


class ReleaseBlocked(Refused):
    """A collected row is not proved to be the subject's, so the package may not be handed out."""


@dataclass(frozen=True, slots=True)
class KnownFacts:
    """The known facts of the person for whom a package is made.

    - ``values``: their identities; ``stated``: periods in which they say that a number was theirs
    - ``periods``, ``others``: periods in which the register shows it as theirs, or another person's
    - ``lines``: periods in which they hold it as a shared line
    - ``proved``: since when a channel vouches that they control it
    - ``at``: when the rows were collected
    - ``tenant``: the customer whose data were searched
    - ``shared``: identities of others too, so a row needs another identity of theirs, or one of their ``names``
    """

    at: datetime
    values: Collection[IdentityKey] = frozenset()
    stated: Mapping[IdentityKey, Sequence[TimeSpan]] = field(default_factory=dict)
    periods: Mapping[IdentityKey, Sequence[TimeSpan]] = field(default_factory=dict)
    others: Mapping[IdentityKey, Sequence[TimeSpan]] = field(default_factory=dict)
    lines: Mapping[IdentityKey, Sequence[TimeSpan]] = field(default_factory=dict)
    proved: Mapping[IdentityKey, datetime] = field(default_factory=dict)
    tenant: str | None = None
    shared: Collection[IdentityKey] = frozenset()
    names: Collection[frozenset[str]] = frozenset()

    def is_named(self, matches: Iterable[Match]) -> bool:
        """Returns whether one of these values is the subject's name."""
        return any(match.type == IdentityType.NAME and name_words(match.value) in self.names for match in matches)

    def fault(self, match: Match) -> ReleaseFault | None:
        """Returns why this value does not show the row to be the subject's."""
        return self._fault(match) if (match.tenant or None) == self.tenant else ReleaseFault.ANOTHER_TENANT

    def contradicts(self, assigned: Sequence[Match]) -> bool:
        """Returns whether the register shows a number as another person's while the row shows it as the subject's."""
        if not assigned:
            return False
        moments = [match.at or self.at for match in assigned]
        kind = IdentityType.SIP_URI if assigned[0].value.startswith("sip:") else IdentityType.PHONE
        others = self.others.get(spelled(kind, assigned[0].value), ())
        return any(since <= max(moments) and min(moments) < until for since, until in others)

    def _fault(self, match: Match) -> ReleaseFault | None:
        named = spelled(match.type, match.value)
        if named not in self.values:
            return ReleaseFault.NOT_THEIRS
        if named in self.shared:
            return ReleaseFault.SHARED_IDENTIFIER
        if match.type not in _DATED:
            return None
        at = match.at or self.at
        since = self.proved.get(named)
        # Proof of a shared line proves none of its calls.
        proved = since is not None and since <= at and not _within(at, self.lines.get(named, ()))
        if _within(at, self.others.get(named, ())):
            return ReleaseFault.ANOTHER_HOLDER
        shown = proved or _within(at, self.periods.get(named, ()))
        return None if shown and _within(at, self.stated.get(named) or (_ALWAYS,)) else ReleaseFault.NOT_AT_THAT_TIME


def first_fault(rows: Iterable[Sequence[Match]], known: KnownFacts) -> ReleaseFault | None:
    """Returns the fault of the first row that is not the subject's, or None."""
    cleared: set[Match] = set()
    for row in rows:
        if known.contradicts([match for match in row if match.type == ASSIGNED]):
            return ReleaseFault.ANOTHER_HOLDER
        matches = [match for match in row if match.type != ASSIGNED]
        if not cleared.isdisjoint(matches):
            continue
        faults = [known.fault(match) for match in matches]
        if ReleaseFault.SHARED_IDENTIFIER in faults and known.is_named(matches):
            continue
        if None not in faults:
            return max(
                (fault for fault in faults if fault), key=list(ReleaseFault).index, default=ReleaseFault.UNTRACED
            )
        cleared.add(matches[faults.index(None)])
    return None


def required(category: str, levels: Mapping[str, Level], names: Mapping[str, Collection[str]]) -> Level:
    """Returns the level to which the identity behind a row of that category must be proved; the highest if unknown.

    ``levels``: by category of the policy; ``names``: what systems call each.
    """
    for known, level in levels.items():
        if category == known or category in names.get(known, ()):
            return level
    return max(levels.values())


def values_of(identities: Iterable[Identity]) -> frozenset[IdentityKey]:
    """Returns the identities of a person without names, which are not unique."""
    return frozenset((i.type.value, i.value) for i in identities if i.type is not IdentityType.NAME)


def shared_of(identities: Iterable[Identity]) -> frozenset[IdentityKey]:
    """Returns the identities that systems know as other people's too."""
    return frozenset((i.type.value, i.value) for i in identities if i.shared)


def names_of(identities: Iterable[Identity]) -> frozenset[frozenset[str]]:
    """Returns their names as sets of words."""
    return frozenset(name_words(i.value) for i in identities if i.type is IdentityType.NAME)


def name_words(name: str) -> frozenset[str]:
    """A name as those who write it in another order, in capitals or without accents write it too."""
    plain = "".join(one for one in normalize("NFKD", name.casefold()) if not combining(one))
    return frozenset(word for word in "".join(one if one.isalnum() else " " for one in plain).split())


def stated_of(identities: Iterable[Identity]) -> Mapping[IdentityKey, Sequence[TimeSpan]]:
    """Returns the periods in which the requester says that a number was theirs."""
    stated: dict[IdentityKey, list[TimeSpan]] = {}
    for each in identities:
        if each.type in _DATED and each.source == "requester" and (each.valid_from or each.valid_to):
            span = (each.valid_from or _ALWAYS[0], each.valid_to or _ALWAYS[1])
            stated.setdefault((each.type.value, each.value), []).append(span)
    return stated


def proved_of(identities: Iterable[Identity]) -> dict[IdentityKey, datetime]:
    """Since when a channel vouches that they control a number."""
    proved: dict[IdentityKey, datetime] = {}
    for each in identities:
        if each.type in _DATED and each.proved_since:
            named = (each.type.value, each.value)
            proved[named] = min(each.proved_since, proved.get(named, each.proved_since))
    return proved


def instructed_of(identities: Iterable[Identity], registered: Collection[IdentityKey]) -> dict[IdentityKey, datetime]:
    """Returns since when a number is the subject's, by the controller's instruction (Art. 28(3)(a)).

    ``registered``: the numbers that the register knows; of these it says itself whose they were.
    """
    stated = [(each.type.value, each.value, each.valid_from) for each in identities if each.source == "requester"]
    since: dict[IdentityKey, datetime] = {}
    for kind, value, start in stated:
        if kind in _DATED and start and (kind, value) not in registered:
            since[kind, value] = min(start, since.get((kind, value), start))
    return since


def spelled(kind: str, value: str) -> IdentityKey:
    """Returns a value in the normal form of its type; a malformed one belongs to no person."""
    try:
        return kind, normalise(IdentityType(kind), value)
    except MalformedIdentity:
        return kind, ""


def _within(moment: datetime, spans: Iterable[TimeSpan]) -> bool:
    return any(since <= moment < until for since, until in spans)
