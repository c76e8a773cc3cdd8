"""The people of the demonstration: who asks for what, why their case is worth watching and how it must end."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType

from deploy.demo.company.model import Customer, Phone
from shared.domain.rights import Outcome, Right

NOTHING: Mapping[str, str] = MappingProxyType({})


def _day(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 8, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Character:
    """A customer written by hand; ``calls`` they take part in at least, ``withheld`` share of the calls they make."""

    person: Customer
    calls: int = 80
    tickets: int = 3
    withheld: float = 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """One request of the demonstration.

    ``shows``: what the case is there for. ``expected``: how it must end. ``neighbours``: customers who share something
    with the person and of whom nothing may change.
    """

    right: Right
    person: Customer
    shows: str
    expected: Outcome = Outcome.FULFILLED
    neighbours: tuple[Customer, ...] = ()
    change: Mapping[str, str] = field(default_factory=lambda: NOTHING)


def _person(
    name: str,
    email: str,
    phones: tuple[Phone, ...],
    address: tuple[str, str, str, str],
    language: str,
    *,
    marketing: bool = False,
) -> Customer:
    street, postal_code, city, country = address
    since = min((phone.valid_from for phone in phones), default=_day(2024, 1, 1))
    return Customer("", name, (email,), phones, street, postal_code, city, country, language, marketing, since)


_REASSIGNED = "+31613850417"

CHARACTERS: Mapping[str, Character] = MappingProxyType(
    {
        "lucia": Character(
            _person(
                "Lucía Ferrer Vidal",
                "Lucia.FERRER.Vidal@Correo.Example.COM",
                (Phone("+34688886392", _day(2024, 2, 5)), Phone("+34918750146", _day(2024, 2, 5), _day(2026, 3, 2))),
                ("Calle de Alcalá 218, 4º B", "28028", "Madrid", "ES"),
                "es",
                marketing=True,
            ),
            calls=180,
            tickets=4,
        ),
        "jonas": Character(
            _person(
                "Jonas Albrecht",
                "jonas.albrecht@post.example.com",
                (Phone("+493023125077", _day(2023, 9, 18)),),
                ("Lindenallee 12", "10115", "Berlin", "DE"),
                "de",
            ),
            calls=140,
        ),
        "camille": Character(
            _person(
                "Camille Roussel",
                "c.rousel@courriel.example.com",
                (Phone("+33199004217", _day(2024, 6, 3)),),
                ("rue des Lilas 14", "69002", "Lyon", "FR"),
                "fr",
            ),
        ),
        "marta": Character(
            _person(
                "Marta Wójcik",
                "marta.wojcik@poczta.example.com",
                (Phone("+48601229034", _day(2024, 11, 12)),),
                ("ul. Ogrodowa 7/3", "31-042", "Kraków", "PL"),
                "pl",
                marketing=True,
            ),
        ),
        "sven": Character(
            _person(
                "Sven Lindqvist",
                "sven.lindqvist@brev.example.com",
                (Phone("+46846500433", _day(2023, 5, 22)),),
                ("Björkvägen 5", "753 20", "Uppsala", "SE"),
                "sv",
            ),
        ),
        "aoife": Character(
            _person(
                "Aoife Brennan",
                "aoife.brennan@mail.example.com",
                (Phone("+353851550182", _day(2024, 8, 26)),),
                ("Harbour View 3", "T12 W8RX", "Cork", "IE"),
                "en",
                marketing=True,
            ),
        ),
        "pieter": Character(
            _person(
                "Pieter de Vries",
                "pieter.devries@brievenbus.example.com",
                (Phone(_REASSIGNED, _day(2023, 6, 1), _day(2025, 12, 1)), Phone("+31207940381", _day(2025, 11, 20))),
                ("Molenweg 31", "3511 GM", "Utrecht", "NL"),
                "nl",
            ),
            calls=120,
        ),
        "emma": Character(
            _person(
                "Emma Jansen",
                "emma.jansen@post.example.org",
                (Phone(_REASSIGNED, _day(2026, 2, 16)),),
                ("Prinsengracht 402", "1016 JC", "Amsterdam", "NL"),
                "nl",
            ),
            calls=120,
        ),
        "giulia": Character(
            _person(
                "Giulia Conti",
                "giulia.conti@posta.example.com",
                (Phone("+393475551208", _day(2023, 4, 11)), Phone("+39065500731", _day(2024, 1, 8))),
                ("Via Garibaldi 55", "20121", "Milano", "IT"),
                "it",
            ),
            calls=4_000,
            tickets=5,
        ),
        "daniel": Character(
            _person(
                "Daniel Miller",
                "daniel.miller@mail.example.net",
                (Phone("+14155550132", _day(2024, 3, 14)),),
                ("Oak Street 1180", "94117", "San Francisco, CA", "US"),
                "en",
            ),
        ),
        "namesake": Character(
            _person(
                "Daniel Miller",
                "danmiller88@inbox.example.com",
                (Phone("+12125550171", _day(2024, 5, 20)),),
                ("5th Avenue 77", "10003", "New York, NY", "US"),
                "en",
            ),
        ),
        "joao": Character(
            _person(
                "João Pereira",
                "joao.pereira@correio.example.com",
                (Phone("+351213450862", _day(2024, 7, 1)),),
                ("Rua das Flores 19", "4050-265", "Porto", "PT"),
                "pt",
            ),
            calls=90,
            withheld=0.5,
        ),
    }
)

STRANGER = _person(
    "Linnéa Hedlund",
    "linnea.hedlund@lada.example.net",
    (Phone("+46702255914", _day(2025, 1, 7)),),
    ("Parkvägen 8", "411 05", "Göteborg", "SE"),
    "sv",
)


def parts(by_role: Mapping[str, Customer]) -> tuple[Part, ...]:
    """The requests of the demonstration, of the customers that the characters became."""
    who = by_role.__getitem__
    return (
        Part(
            Right.ACCESS,
            who("jonas"),
            "gets a copy; people who called him with their number withheld stay unnamed",
            neighbours=(who("joao"),),
        ),
        Part(
            Right.RECTIFICATION,
            who("camille"),
            "her e-mail address was written down without its second s",
            change=MappingProxyType(
                {
                    "field": "email",
                    "current": "c.rousel@courriel.example.com",
                    "asserted": "c.roussel@courriel.example.com",
                }
            ),
        ),
        Part(Right.RESTRICTION, who("marta"), "contests what is held about her; nobody may use it meanwhile"),
        Part(Right.PORTABILITY, who("sven"), "takes his data along to another provider"),
        Part(Right.OBJECTION, who("aoife"), "wants no more advertising"),
        Part(Right.ERASURE, who("lucia"), "two numbers, an e-mail address in upper case, tickets with attachments"),
        Part(Right.ERASURE, who("pieter"), "his old number is somebody else's today", neighbours=(who("emma"),)),
        Part(Right.ERASURE, who("giulia"), "thousands of calls"),
        Part(Right.ERASURE, who("daniel"), "another customer has the same name", neighbours=(who("namesake"),)),
        Part(
            Right.ERASURE,
            who("joao"),
            "withheld his number, and the switch knew it all the same",
            neighbours=(who("jonas"),),
        ),
        Part(Right.ACCESS, STRANGER, "was never a customer", expected=Outcome.NO_DATA),
    )


def with_code(person: Customer, code: str) -> Customer:
    """The character as a customer of the company."""
    return replace(person, code=code)
