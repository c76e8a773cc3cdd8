"""Decides which of a tracker's users is the subject: compares every hit with the subject's identities."""

import contextlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import phonenumbers

from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.release import Match
from shared.domain.rights import NOTHING
from shared.domain.text import forms, in_letters, nfc
from shared.systems.roundup.tracker import FIELDS, PEOPLE, Tracker, member

USER: Final = "realname,address,alternate_addresses,phone"
"""The fields of a user that tell who they are."""
SUFFIX: Final = 7
"""Number of last digits that are searched for; then whole numbers are compared."""


@dataclass(frozen=True, slots=True)
class TrackerUser:
    """A user of the tracker, retired or not; ``addresses`` in lower case."""

    id: str
    name: str
    addresses: frozenset[str]
    phone: str

    @classmethod
    def read(cls, fields: Mapping[str, str | None]) -> "TrackerUser":
        """Reads a person from the fields of a user."""
        name, address, alternates, phone = (fields.get(key) or "" for key in USER.split(","))
        addresses = frozenset(in_letters(nfc(one.casefold())) for one in (address, *alternates.split()) if one)
        return cls(str(fields["id"]), name, addresses, phone)

    def identities(self, source: str) -> tuple[Identity, ...]:
        """Returns the identities of the user by which another system could be searched."""
        values = [(IdentityType.EMAIL, address) for address in sorted(self.addresses)]
        values += [(IdentityType.PHONE, self.number)] if self.number else []
        found = []
        for kind, value in (*values, (IdentityType.NAME, self.name)):
            with contextlib.suppress(MalformedIdentity):
                found.append(Identity(kind, normalise(kind, value), source=source))
        return tuple(found)

    @property
    def number(self) -> str | None:
        """The number, where it is written internationally; another one means nothing elsewhere."""
        return f"+{digits(self.phone)}" if self.phone.lstrip().startswith("+") else None


class Candidates:
    """The hits of a search for many subjects, so that each is judged against a few people only."""

    def __init__(self, people: Iterable[TrackerUser]) -> None:
        self._by_key: defaultdict[str, list[TrackerUser]] = defaultdict(list)
        for person in people:
            for key in (*person.addresses, digits(person.phone)[-SUFFIX:]):
                self._by_key[key].append(person)

    @classmethod
    async def search(cls, tracker: Tracker, identities: Iterable[Identity]) -> Self:
        """Everybody, retired or not, who may have one of the identities; each must still be judged."""
        keys = set(searched(identities))
        emails = {form for key in keys if key.type is IdentityType.EMAIL for form in forms(key.value.casefold())}
        phones = {digits(key.value)[-SUFFIX:] for key in keys if key.type is IdentityType.PHONE}
        if not keys:
            return cls(())
        asked = {"addresses": sorted(emails), "phones": sorted(phones)}
        answer = await tracker.privacy("people", asked, FIELDS)
        return cls(TrackerUser.read(fields) for fields in member(answer, "collection", PEOPLE, tracker.system))

    def of(self, identities: Iterable[Identity]) -> Sequence[TrackerUser]:
        """Returns users who may have one of the identities."""
        keys = [
            digits(one.value)[-SUFFIX:] if one.type is IdentityType.PHONE else in_letters(nfc(one.value.casefold()))
            for one in searched(identities)
        ]
        return list({person.id: person for key in keys for person in self._by_key.get(key, ())}.values())


def searched(identities: Iterable[Identity]) -> tuple[Identity, ...]:
    """The identities by which a user can be found: addresses, and whole numbers, that are still the subject's."""
    return tuple(
        identity
        for identity in identities
        if identity.valid_to is None
        and (
            identity.type is IdentityType.EMAIL
            or (identity.type is IdentityType.PHONE and len(digits(identity.value)) >= SUFFIX)
        )
    )


def bears_identity(person: TrackerUser, identity: Identity) -> bool:
    """Whether the user record carries this very identity: the whole address, the whole number in any spelling."""
    match identity.type:
        case IdentityType.EMAIL:
            return in_letters(nfc(identity.value.casefold())) in person.addresses
        case IdentityType.PHONE:
            return bool(person.phone) and same_number(person.phone, identity.value)
        case _:
            return False


def proven_users(people: Iterable[TrackerUser], identities: Sequence[Identity]) -> dict[str, bool]:
    """Returns, by user ID, whether a hit is proven to be the subject.

    A value that only one user has is proof, unless that user has another value of a type that the subject also gave,
    since numbers change hands. Then the name decides, as for a value that several users share; a shared value never
    outweighs a contradiction.

    Another number does not contradict a proved address of only one user: people have several numbers, and it may have
    been corrected. Another name does: a household may share the mailbox.
    """
    keys = searched(identities)
    hits = [person for person in people if any(bears_identity(person, key) for key in keys)]
    sharing = {key: sum(bears_identity(person, key) for person in hits) + key.shared for key in keys}
    return {person.id: _proof(person, keys, sharing, identities) for person in hits}


def matches_of(person: TrackerUser, identities: Iterable[Identity]) -> tuple[Match, ...]:
    """Returns the values that find or distinguish a person; a national number as the subject's number."""
    numbers = [person.phone] if person.number else [each.value for each in identities if _has_number(person, each)]
    return (
        *(Match(IdentityType.EMAIL, address) for address in sorted(person.addresses)),
        *(Match(IdentityType.PHONE, number) for number in numbers),
        *([Match(IdentityType.NAME, person.name)] if person.name else ()),
    )


def digits(number: str) -> str:
    """The digits of a number as it was written."""
    return "".join(filter(str.isdigit, number))


def _proof(
    person: TrackerUser, keys: Sequence[Identity], sharing: Mapping[Identity, int], identities: Sequence[Identity]
) -> bool:
    matched = [key for key in keys if bears_identity(person, key)]
    named = _same_name(person, identities)
    values = {IdentityType.EMAIL: bool(person.addresses), IdentityType.PHONE: bool(person.phone)}
    proved = (key for key in matched if key.type is IdentityType.EMAIL and key.level > NOTHING)
    if any(sharing[key] == 1 for key in proved) and (named or not _names(identities) or not _words(person.name)):
        return True
    contradicted = any(values[kind] for kind in {key.type for key in keys} - {key.type for key in matched})
    if any(sharing[key] == 1 for key in matched):
        return named or not contradicted
    return named and not contradicted


def _has_number(person: TrackerUser, identity: Identity) -> bool:
    return identity.type is IdentityType.PHONE and bears_identity(person, identity)


def _same_name(person: TrackerUser, identities: Sequence[Identity]) -> bool:
    return bool(_words(person.name)) and _words(person.name) in _names(identities)


def _names(identities: Sequence[Identity]) -> set[frozenset[str]]:
    return {_words(identity.value) for identity in identities if identity.type is IdentityType.NAME}


def _words(name: str) -> frozenset[str]:
    """A name without order, case, accents and punctuation: ``García, Ana`` is ``Ana Garcia``."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(one))
    return frozenset(re.findall(r"\w+", plain))


def same_number(written: str, e164: str) -> bool:
    """Whether a number as it was written, in whatever spelling, is that one."""
    if digits(written) == digits(e164):
        return True
    try:
        wanted = phonenumbers.parse(e164, None)
        region = phonenumbers.region_code_for_country_code(wanted.country_code or 0)
        return phonenumbers.parse(written, region) == wanted
    except phonenumbers.NumberParseException:
        return False
