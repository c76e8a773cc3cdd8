"""What people did on the company's website: customers and others, by the client id of their browser."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random

from deploy.demo.company.dates import CALLS_TO, between
from deploy.demo.company.model import Customer, Visit

_FROM = CALLS_TO - timedelta(days=900)
_PAGES = ("/", "/prices", "/help", "/features", "/sign-in", "/contact", "/blog")
_RARE_PAGE = "/help/moving-from-{}"
_DEVICES = ("phone", "computer", "tablet")
_STRANGERS_PER_CUSTOMER = 3
_SIGNED_IN = 0.4
_LEAVES_A_RARE_PAGE = 0.02


def visits(rng: Random, customers: Sequence[Customer], count: int) -> Iterator[Visit]:
    """So many events in order of time; a browser belongs to a customer, or to nobody that the company knows."""
    browsers: list[tuple[str, Customer | None]] = [(_client_id(rng), customer) for customer in customers]
    browsers += [(_client_id(rng), None) for _ in range(_STRANGERS_PER_CUSTOMER * len(customers))]
    countries = sorted({customer.country for customer in customers})
    for moment in sorted(_moments(rng, count)):
        client, customer = browsers[int(rng.random() * len(browsers))]
        known = customer is not None and customer.since <= moment and rng.random() < _SIGNED_IN
        country = customer.country if customer else countries[int(rng.random() * len(countries))]
        rare = rng.random() < _LEAVES_A_RARE_PAGE
        page = _RARE_PAGE.format(country.lower()) if rare else _PAGES[int(rng.random() * len(_PAGES))]
        device = _DEVICES[int(rng.random() * len(_DEVICES))]
        yield Visit(moment, client, customer.code if customer and known else None, "page_view", page, country, device)


def _moments(rng: Random, count: int) -> Iterator[datetime]:
    return (between(_FROM, CALLS_TO, rng.random()) for _ in range(count))


def _client_id(rng: Random) -> str:
    return f"{rng.getrandbits(32)}.{rng.getrandbits(40):013d}"
