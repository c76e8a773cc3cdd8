"""What a made-up telecom company knows: its customers, their calls and their support tickets."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Phone:
    """A number in E.164 and the half-open period ``[valid_from, valid_to)`` in UTC in which the customer held it."""

    number: str
    valid_from: datetime
    valid_to: datetime | None = None

    def held_at(self, moment: datetime) -> bool:
        """Whether the number was the customer's at that moment."""
        return self.valid_from <= moment and (self.valid_to is None or moment < self.valid_to)


@dataclass(frozen=True, slots=True)
class Customer:
    """A person with a contract, or who only reads the newsletter.

    ``code``: the customer number. ``emails``: as typed when the contract was made, so some are in upper case; the first
    is the main one. ``phones``: numbers held now and before. ``country``: ISO 3166. ``language``: ISO 639-1.
    ``contract``: who pays before they call has none. None, of this and what follows: the CRM does not tell.
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
    """Something that was done on the website; ``client_id``: of the browser, ``account_id``: of who was signed in."""

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


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a ticket."""

    file_name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a ticket's conversation."""

    written_at: datetime
    author: Literal["requester", "agent"]
    text: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """A support case of the customer whom the code names."""

    number: int
    requester_code: str
    title: str
    messages: tuple[Message, ...]
    attachments: tuple[Attachment, ...]
    status: Literal["new", "open", "waiting", "resolved"]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything there is."""

    customers: int = 1_200
    calls: int = 120_000
    tickets: int = 2_000
    visits: int = 8_000
