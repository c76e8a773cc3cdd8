"""The customers: believable people, with the traps that real customer data has.

Numbers are re-assigned after an ageing gap; people share a name; three households share an e-mail address; some
addresses are in upper case; some people have changed their number or have two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

from deploy.demo.company.cast import CHARACTERS, STRANGER
from deploy.demo.company.countries import Country, NumberPlan, ascii_word, countries
from deploy.demo.company.dates import AGEING, CALLS_FROM, CALLS_TO, OPENED, between, morning
from deploy.demo.company.model import Customer, Phone

Item = TypeVar("Item")

_HOUSEHOLDS = 3
_GAVE_UP_A_NUMBER = 0.10
_TAKES_A_RETURNED_NUMBER = 0.8
_SECOND_NUMBER = 0.22
_SECOND_EMAIL = 0.12
_UPPER_CASE_EMAIL = 0.06
_MARKETING_CONSENT = 0.55


class _Registrar:
    """Signs customers up one after the other."""

    def __init__(self, rng: Random, plan: NumberPlan) -> None:
        self._rng = rng
        self._plan = plan
        self._countries = tuple(country for country in countries().values() for _ in range(country.share))
        self._returned: list[tuple[datetime, str, str]] = []
        self._addresses: dict[str, int] = {}
        for person in _people_by_hand():
            self._addresses.update((email.lower(), 1) for email in person.emails)

    def _one_of(self, items: Sequence[Item]) -> Item:
        return items[int(self._rng.random() * len(items))]

    def _email(self, name: str, country: Country) -> str:
        mailbox = f"{ascii_word(name)}@{self._one_of(country.mail)}"
        taken = self._addresses[mailbox] = self._addresses.get(mailbox, 0) + 1
        return mailbox if taken == 1 else mailbox.replace("@", f"{taken}@")

    def _phones(self, country: Country) -> tuple[Phone, ...]:
        since = morning(between(OPENED, CALLS_FROM, self._rng.random()))
        current = self._returned_number(country) if self._rng.random() < _TAKES_A_RETURNED_NUMBER else None
        phones = []
        if self._rng.random() < _GAVE_UP_A_NUMBER:
            changed = morning(between(CALLS_FROM, CALLS_TO - timedelta(days=150), self._rng.random()))
            old = self._plan.draw(country)
            phones.append(Phone(old, since, changed))
            rest = AGEING + timedelta(days=int(self._rng.random() * 60))
            self._returned.append((changed + rest, old, country.code))
            since = changed - timedelta(days=7)
        phones.append(current or Phone(self._plan.draw(country), since))
        if self._rng.random() < _SECOND_NUMBER:
            phones.append(Phone(self._plan.draw(country), morning(between(since, CALLS_TO, self._rng.random()))))
        return tuple(phones)

    def _returned_number(self, country: Country) -> Phone | None:
        """A number of this country whose ageing gap has passed, for a customer who joins then."""
        free = [entry for entry in self._returned if entry[2] == country.code]
        if not free:
            return None
        self._returned.remove(min(free))
        free_from, number, _ = min(free)
        return Phone(number, morning(free_from + timedelta(days=1)))

    def sign_up(self) -> Customer:
        country = self._one_of(self._countries)
        name = f"{self._one_of(country.first)} {self._one_of(country.last)}"
        emails = [self._email(name, country)]
        if self._rng.random() < _SECOND_EMAIL:
            emails.append(self._email(f"{name} {country.language}", country))
        if self._rng.random() < _UPPER_CASE_EMAIL:
            emails[0] = emails[0].upper()
        phones = self._phones(country)
        postal_code, city = self._one_of(country.cities)
        house = 1 + int(self._rng.random() * 180)
        street = (
            f"{house} {self._one_of(country.streets)}"
            if country.code in {"US", "IE"}
            else f"{self._one_of(country.streets)} {house}"
        )
        return Customer(
            code="",
            name=name,
            emails=tuple(emails),
            phones=phones,
            street=street,
            postal_code=postal_code,
            city=city,
            country=country.code,
            language=country.language,
            marketing_consent=self._rng.random() < _MARKETING_CONSENT,
            since=min(phone.valid_from for phone in phones),
        )

    def moves_in_with(self, other: Customer) -> Customer:
        """A second contract in the household, with the same family name, address and e-mail address."""
        country = countries()[other.country]
        family = other.name.split(" ", 1)[1]
        phones = self._phones(country)
        return replace(
            other,
            name=f"{self._one_of(country.first)} {family}",
            phones=phones,
            since=min(phone.valid_from for phone in phones),
        )


def sign_up(rng: Random, plan: NumberPlan, count: int) -> tuple[tuple[Customer, ...], Mapping[str, Customer]]:
    """``count`` customers in the order of their codes, and the characters among them by role."""
    for person in _people_by_hand():
        for phone in person.phones:
            plan.reserve(phone.number)
    registrar = _Registrar(rng, plan)
    ordinary = [registrar.sign_up() for _ in range(count - len(CHARACTERS) - _HOUSEHOLDS)]
    ordinary += [registrar.moves_in_with(ordinary[-1 - household]) for household in range(_HOUSEHOLDS)]
    roles = dict(zip(_spread(count, len(CHARACTERS)), CHARACTERS, strict=True))
    rest = iter(ordinary)
    cast: dict[str, Customer] = {}
    everyone: list[Customer] = []
    for position in range(count):
        role = roles.get(position)
        customer = replace(CHARACTERS[role].person if role else next(rest), code=f"C{100_001 + position}")
        everyone.append(customer)
        if role:
            cast[role] = customer
    return tuple(everyone), cast


def _people_by_hand() -> tuple[Customer, ...]:
    return (STRANGER, *(character.person for character in CHARACTERS.values()))


def _spread(count: int, parts: int) -> list[int]:
    """Positions evenly among ``count``, so that the characters' codes look like everybody's."""
    return [count * (2 * part + 1) // (2 * parts) for part in range(parts)]
