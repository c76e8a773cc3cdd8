"""A believable telecom company, the same every time: its customers, whom they called, what they complained about."""

from dataclasses import dataclass
from random import Random

from deploy.demo.company.calls import Calls
from deploy.demo.company.cast import Part, parts
from deploy.demo.company.countries import NumberPlan
from deploy.demo.company.customers import sign_up
from deploy.demo.company.model import Attachment, Call, Customer, Message, Phone, Size, Subscription, Ticket, Visit
from deploy.demo.company.newsletters import newsletters
from deploy.demo.company.tickets import open_tickets
from deploy.demo.company.visits import visits

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
