"""A believable telecom company, the same every time: its customers, whom they called, what they complained about."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from random import Random

from deploy.demo.company.calls import Calls
from deploy.demo.company.cast import Part, parts
from deploy.demo.company.countries import NumberPlan
from deploy.demo.company.customers import sign_up
from deploy.demo.company.dates import CALLS_TO, between
from deploy.demo.company.model import Attachment, Call, Customer, Message, Phone, Size, Subscription, Ticket, Visit
from deploy.demo.company.tickets import open_tickets
from deploy.demo.company.visits import visits

_TOPICS = ("offers", "product news", "tips")
_SILENT_SINCE, _LIVELY_FROM = CALLS_TO - timedelta(days=1_200), CALLS_TO - timedelta(days=600)
_SILENT = 0.04


def newsletters(rng: Random, customers: Sequence[Customer]) -> Iterator[Subscription]:
    """One for each customer who has consented; of whom the CRM tells a last activity, by that."""
    for customer in customers:
        if not customer.marketing_consent:
            continue
        topic, fraction = _TOPICS[int(rng.random() * len(_TOPICS))], rng.random()
        last = _SILENT_SINCE if rng.random() < _SILENT else between(_LIVELY_FROM, CALLS_TO, fraction)
        if customer.last_activity is not None:
            last = datetime.combine(customer.last_activity, time(12), UTC)
        subscribed = min(customer.since, last) - timedelta(days=int(fraction * 300))
        yield Subscription(customer.code, customer.emails[0].lower(), topic, subscribed, last)


__all__ = ["SEED", "Attachment", "Call", "Company", "Customer", "Message", "Part", "Phone", "Size", "Ticket", "found"]

SEED = 20_261_101


@dataclass(frozen=True, slots=True)
class Company:
    """The whole company; ``calls`` are made up anew whenever they are read, the same ones in order of their start."""

    customers: tuple[Customer, ...]
    calls: Calls
    tickets: tuple[Ticket, ...]
    visits: tuple[Visit, ...]
    subscriptions: tuple[Subscription, ...]
    cast: tuple[Part, ...]


def found(size: Size | None = None, seed: int = SEED) -> Company:
    """Found the company: the same seed and size give the same company, on every machine."""
    wanted = size or Size()
    rng = Random(seed)  # noqa: S311 - nothing here is a secret
    plan = NumberPlan(rng)
    customers, characters = sign_up(rng, plan, wanted.customers)
    tickets = open_tickets(rng, customers, characters, wanted.tickets)
    seen = tuple(visits(Random(seed), customers, wanted.visits))  # noqa: S311 - of its own: the rest stays the same
    subscribed = tuple(newsletters(Random(seed), customers))  # noqa: S311 - as above
    calls = Calls(seed, customers, characters, plan, wanted.calls)
    return Company(customers, calls, tickets, seen, subscribed, parts(characters))
