"""Who counts as the subject among the parties that a search in the CRM returned."""

from datetime import UTC, datetime

import pytest

from shared.domain.errors import ForeignHit
from shared.domain.identities import Identity, IdentityType
from shared.downstreams.tryton.party import Contact, Party
from shared.downstreams.tryton.proof import proven
from shared.downstreams.tryton.rpc import reason_of

ADA, BOB, NUMBER = "ada@post.example", "bob@post.example", "+4915112345671"
Y20, Y22, Y24, Y26 = (datetime(year, 1, 1, tzinfo=UTC) for year in (2020, 2022, 2024, 2026))


def party(number: int, *contacts: Contact) -> Party:
    return Party(
        number, f"K{number}", "Somebody", active=True, restricted=False, marketing_opt_out=False, contacts=contacts
    )


def has_email(value: str) -> Contact:
    return Contact(1, "email", value, value, active=True, valid_from=None, valid_to=None)


def has_phone(value: str, since: datetime | None = None, until: datetime | None = None) -> Contact:
    return Contact(2, "mobile", value, value, active=True, valid_from=since, valid_to=until)


def email(value: str) -> Identity:
    return Identity(IdentityType.EMAIL, value)


def phone(since: datetime | None = None, until: datetime | None = None) -> Identity:
    return Identity(IdentityType.PHONE, NUMBER, since, until)


def code(value: str, source: str = "requester") -> Identity:
    return Identity(IdentityType.ACCOUNT_ID, value, source=source)


FOREIGN = "foreign"
CASES: dict[str, tuple[list[Identity], list[Party], list[int] | str]] = {
    "nobody was found": ([email(ADA)], [], []),
    "one party holds the address, in whatever case": ([email(ADA)], [party(1, has_email("ADA@Post.Example"))], [1]),
    "the address counts although the number is another": (
        [email(ADA), phone()],
        [party(1, has_email(ADA), has_phone("+4915112345699"))],
        [1],
    ),
    "two parties hold the address": ([email(ADA)], [party(1, has_email(ADA)), party(2, has_email(ADA))], FOREIGN),
    "two hold the address, one the number too": (
        [email(ADA), phone()],
        [party(1, has_email(ADA)), party(2, has_email(ADA), has_phone(NUMBER))],
        [2],
    ),
    "one holds the address and another the number": (
        [email(ADA), phone()],
        [party(1, has_email(ADA)), party(2, has_phone(NUMBER))],
        FOREIGN,
    ),
    "only the number agrees and the address differs": (
        [email(ADA), phone()],
        [party(1, has_email(BOB), has_phone(NUMBER))],
        FOREIGN,
    ),
    "only the number agrees and no address is known": ([email(ADA), phone()], [party(1, has_phone(NUMBER))], [1]),
    "the number is no longer assigned to the party": ([phone()], [party(1, has_phone(NUMBER, Y20, Y22))], []),
    "the number was assigned to the party at the time": (
        [phone(Y20, Y24)],
        [party(1, has_phone(NUMBER, Y22, Y24)), party(2, has_phone(NUMBER, Y24))],
        [1],
    ),
    "periods that only touch do not overlap": ([phone(Y24, Y26)], [party(1, has_phone(NUMBER, Y22, Y24))], []),
    "the former holder of a number is left out": (
        [phone(Y24)],
        [party(1, has_phone(NUMBER, Y20, Y22)), party(2, has_phone(NUMBER, Y24))],
        [2],
    ),
    "the customer number decides between two": (
        [code("K2"), email(ADA)],
        [party(1, has_email(ADA)), party(2, has_email(ADA))],
        [2],
    ),
    "two customer numbers are two accounts of one person": ([code("K1"), code("K2")], [party(1), party(2)], [1, 2]),
    "the requester gave somebody else's customer number": (
        [code("K1"), email(ADA)],
        [party(1, has_email(BOB))],
        FOREIGN,
    ),
    "the requester's customer number and only another number": (
        [code("K1"), phone()],
        [party(1, has_phone("+4915112345699"))],
        FOREIGN,
    ),
    "the requester's customer number, and the party has no address": ([code("K1"), email(ADA)], [party(1)], [1]),
    "the customer number and the address of the same party": (
        [code("K1"), email(ADA)],
        [party(1, has_email(ADA)), party(2, has_email(BOB))],
        [1],
    ),
    "one of two customer numbers is contradicted": (
        [code("K1"), code("K2"), email(ADA)],
        [party(1, has_email(ADA)), party(2, has_email(BOB))],
        FOREIGN,
    ),
    "two hold the address and the number": (
        [email(ADA), phone()],
        [party(each, has_email(ADA), has_phone(NUMBER)) for each in (1, 2)],
        FOREIGN,
    ),
    "two hold the number and none the address": (
        [email(ADA), phone()],
        [party(each, has_phone(NUMBER)) for each in (1, 2)],
        FOREIGN,
    ),
    "the CRM itself gave the customer number": ([code("K1", "crm"), email(ADA)], [party(1, has_email(BOB))], [1]),
    "the customer number is unknown and the address another's": (
        [code("K9"), email(ADA)],
        [party(1, has_email(ADA))],
        FOREIGN,
    ),
    "another system's account id means nothing here": (
        [code("K9", "ticketing"), email(ADA)],
        [party(1, has_email(ADA))],
        [1],
    ),
    "a party that shares nothing with the subject is dropped": ([email(ADA)], [party(1, has_email(BOB))], []),
}


@pytest.mark.parametrize(("identities", "hits", "expected"), CASES.values(), ids=CASES.keys())
def test_who_is_the_subject(identities: list[Identity], hits: list[Party], expected: list[int] | str) -> None:
    if expected == FOREIGN:
        with pytest.raises(ForeignHit):
            proven("crm", identities, hits)
    else:
        assert [found.id for found in proven("crm", identities, hits)] == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('You cannot erase party "Ada Quarz" while they have pending invoices with company "T".', "pending_invoices"),
        ('You cannot erase party "Ada Quarz" while they have pending sales.', "pending_sales"),
        ('Party "Ada Quarz" cannot be erased because they are still active.', "still_active"),
        ('The phone number "Ada" for party "Quarz" is not valid.', "invalid_phone_number"),
        ("Ada Quarz does not like it.", "not_allowed"),
    ],
)
def test_a_refusal_of_the_crm_is_told_without_the_name_in_it(text: str, reason: str) -> None:
    assert reason_of(text) == reason
