"""Who gets the company's newsletter: everybody who has consented to marketing, a few of whom have long been silent."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from random import Random

from deploy.demo.company.dates import CALLS_TO, between
from deploy.demo.company.model import Customer, Subscription

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
