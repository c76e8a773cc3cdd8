"""Describes a made-up telecom company: customers, calls, support tickets, visits, and its calendar."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, NamedTuple

OPENED = datetime(2023, 3, 1, tzinfo=UTC)
CALLS_FROM = datetime(2025, 5, 1, tzinfo=UTC)
CALLS_TO = datetime(2026, 11, 1, tzinfo=UTC)
"""Fixed dates: the company is the same whenever it is founded."""
AGEING = timedelta(days=45)
"""Shortest time before a number is assigned to another person (47 CFR 52.15(f))."""


def between(earliest: datetime, latest: datetime, fraction: float) -> datetime:
    """Returns the moment, to the second, at ``fraction`` in [0, 1) of the way."""
    return earliest + timedelta(seconds=int((latest - earliest).total_seconds() * fraction))


@dataclass(frozen=True, slots=True)
class Phone:
    """A number in E.164 and the half-open period ``[valid_from, valid_to)`` in UTC in which the customer held it."""

    number: str
    valid_from: datetime
    valid_to: datetime | None = None

    def held_at(self, moment: datetime) -> bool:
        """Returns whether the number was the customer's at that moment."""
        return self.valid_from <= moment and (self.valid_to is None or moment < self.valid_to)

    @property
    def spaced(self) -> str:
        """The number in groups of three, as people write it down."""
        digits = self.number[1:]
        return "+" + " ".join(digits[start : start + 3] for start in range(0, len(digits), 3))


@dataclass(frozen=True, slots=True)
class Customer:
    """A person with a contract, or who only reads the newsletter.

    ``code`` is the customer number; the first of ``emails`` is the main one. ``contract`` and what follows are None
    where the CRM does not say.
    """

    code: str
    name: str
    emails: tuple[str, ...]
    phones: tuple[Phone, ...]
    street: str
    postal_code: str
    city: str
    country: str
    language: str
    marketing_consent: bool
    since: datetime
    contract: Literal["none", "active", "ended"] | None = "none"
    contract_ended_on: date | None = None
    invoice_open: Literal["no", "yes"] | None = "no"
    disputed: Literal["no", "yes"] | None = "no"
    last_activity: date | None = None


class Call(NamedTuple):
    """One call as a switch wrote it down.

    ``caller`` and ``callee`` are raw: one number appears as ``+34…``, ``0034…``, ``34…`` or ``00034…``. ``caller`` is
    ``anonymous`` where it was withheld, and ``pai`` (P-Asserted-Identity, E.164, else ``None``) then says who it was.
    ``answered_at`` is ``None`` for a missed call, and ``end`` then is when ringing stopped. Times are UTC.
    """

    start: datetime
    answered_at: datetime | None
    end: datetime
    caller: str
    callee: str
    callid: str
    src_ip: str
    user_agent: str
    withheld: bool
    pai: str | None


class Visit(NamedTuple):
    """An event on the website; ``client_id`` names the browser, ``account_id`` the account that was signed in."""

    occurred_at: datetime
    client_id: str
    account_id: str | None
    kind: str
    page: str
    country: str
    device: str


class Subscription(NamedTuple):
    """A newsletter that a customer gets by their consent; ``last_activity``: their last click, purchase or reply."""

    account_id: str
    email: str
    topic: str
    subscribed_at: datetime
    last_activity: datetime


class Attachment(NamedTuple):
    """A text file that came with a ticket."""

    file_name: str
    content: bytes


class Message(NamedTuple):
    """One message of a ticket's conversation."""

    written_at: datetime
    author: Literal["requester", "agent"]
    text: str


class Ticket(NamedTuple):
    """A support case of the customer whom the code names."""

    requester_code: str
    title: str
    messages: tuple[Message, ...]
    attachments: tuple[Attachment, ...]
    status: Literal["new", "open", "waiting", "resolved"]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Size:
    """The size of the company."""

    customers: int = 600
    calls: int = 60_000
    tickets: int = 800
    visits: int = 4_000
