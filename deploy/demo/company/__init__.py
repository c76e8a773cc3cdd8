"""A believable telecom company, the same every time: its customers, whom they called, what they complained about."""

from dataclasses import dataclass
from random import Random

from deploy.demo.company.calls import Calls
from deploy.demo.company.model import Call, Customer, Phone, Size, Subscription, Ticket, Visit
from deploy.demo.company.people import COUNTRIES, Part, Population, parts
from deploy.demo.company.tickets import newsletters, open_tickets, visits

__all__ = ["SEED", "Call", "Company", "Customer", "Part", "Phone", "Size", "Ticket", "found"]

SEED = 20_261_101
_ELSEWHERE_PER_COUNTRY = 500


@dataclass(frozen=True, slots=True)
class Company:
    """The whole company; ``calls`` are made again whenever they are read, the same ones in order of their start."""

    customers: tuple[Customer, ...]
    calls: Calls
    tickets: tuple[Ticket, ...]
    visits: tuple[Visit, ...]
    subscriptions: tuple[Subscription, ...]
    cast: tuple[Part, ...]


def found(size: Size | None = None, seed: int = SEED) -> Company:
    """Founds the company: the same seed and size give the same company, on every machine."""
    wanted = size or Size()
    rng = Random(seed)  # noqa: S311 - nothing here is a secret
    population = Population(rng)
    customers, characters = population.sign_up(wanted.customers)
    elsewhere = [population.number(code) for code in COUNTRIES for _ in range(_ELSEWHERE_PER_COUNTRY)]
    return Company(
        customers,
        Calls(seed, customers, characters, elsewhere, wanted.calls),
        open_tickets(rng, customers, characters, wanted.tickets),
        tuple(visits(rng, customers, wanted.visits)),
        tuple(newsletters(rng, customers)),
        parts(characters),
    )
