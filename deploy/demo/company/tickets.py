"""Support tickets whose sentences and files hold names, numbers and addresses; visits of the website; newsletters."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any

from deploy.demo.company.model import (
    CALLS_TO,
    Attachment,
    Customer,
    Message,
    Phone,
    Subscription,
    Ticket,
    Visit,
    between,
)
from deploy.demo.company.people import CHARACTERS, ascii_word

_PHRASES = tomllib.loads(Path(__file__).with_name("tickets.toml").read_text(encoding="utf-8"))
_RESOLVED, _ANSWERED, _WITH_ATTACHMENT = 0.72, 0.9, 0.18
_PAGES = ("/", "/prices", "/help", "/features", "/sign-in", "/contact", "/blog")
_RARE_PAGE, _LEAVES_A_RARE_PAGE = "/help/moving-from-{}", 0.02
_DEVICES = ("phone", "computer", "tablet")
_STRANGERS_PER_CUSTOMER, _SIGNED_IN = 3, 0.4
_TOPICS = ("offers", "product news", "tips")


def open_tickets(
    rng: Random, customers: Sequence[Customer], cast: Mapping[str, Customer], count: int
) -> tuple[Ticket, ...]:
    """Returns ``count`` tickets by the time of their opening; every character has as many as their part needs."""
    characters = {customer.code: CHARACTERS[role].tickets for role, customer in cast.items()}
    requesters = [customer for customer in cast.values() for _ in range(characters[customer.code])]
    requesters += rng.choices([each for each in customers if each.code not in characters], k=count - len(requesters))
    opened = [(between(each.since, CALLS_TO - timedelta(days=1), rng.random()), each) for each in requesters]
    tickets, left = [], dict(characters)
    for created_at, customer in sorted(opened, key=lambda each: (each[0], each[1].code)):
        # A character's last ticket always has a file, so that there is one to export or erase.
        left[customer.code] = left.get(customer.code, 0) - 1
        with_file = left[customer.code] == 0 or rng.random() < _WITH_ATTACHMENT
        tickets.append(_ticket(rng, created_at, customer, with_file=with_file))
    return tuple(tickets)


def _ticket(rng: Random, created_at: datetime, customer: Customer, *, with_file: bool) -> Ticket:
    phrases: Mapping[str, Any] = _PHRASES.get(customer.language, _PHRASES["en"])
    phone = next((phone for phone in customer.phones if phone.held_at(created_at)), customer.phones[-1])
    filling = {**asdict(customer), "first": customer.name.split(" ", 1)[0], "email": rng.choice(customer.emails)}
    filling |= {"number": phone.number, "spaced": phone.spaced}
    subject, question = rng.choice(phrases["subjects"])
    messages = [Message(created_at, "requester", f"{phrases['greeting']}\n\n{question}".format_map(filling))]
    state = rng.random()
    if state < _ANSWERED:
        answered = created_at + timedelta(minutes=rng.randint(20, 2_800))
        messages.append(Message(answered, "agent", rng.choice(phrases["answers"]).format_map(filling)))
    if state < _RESOLVED:
        closed = messages[-1].written_at + timedelta(minutes=rng.randint(30, 8_000))
        messages.append(Message(closed, "requester", rng.choice(phrases["closings"]).format_map(filling)))
    return Ticket(
        requester_code=customer.code,
        title=f"{subject} ({customer.name})" if rng.random() < _WITH_ATTACHMENT else subject,
        messages=tuple(messages),
        attachments=(_attachment(rng, customer, phone, created_at),) if with_file else (),
        status="resolved" if state < _RESOLVED else "waiting" if state < _ANSWERED else "new",
        created_at=created_at,
    )


def _attachment(rng: Random, customer: Customer, phone: Phone, moment: datetime) -> Attachment:
    if rng.random() < 1 / 2:
        times = (moment + timedelta(seconds=17 * line) for line in range(6))
        log = "\n".join(f"{each:%Y-%m-%d %H:%M:%S} REGISTER {phone.number} 200 OK" for each in times)
        return Attachment(f"phone-log-{phone.number[1:]}.txt", log.encode())
    address = (customer.name, customer.street, f"{customer.postal_code} {customer.city}")
    letter = "\n".join((*address, "", f"Contract {customer.code}", f"Line {phone.number}", ""))
    return Attachment(f"letter-{ascii_word(customer.name).replace('.', '-')}.txt", letter.encode())


def visits(rng: Random, customers: Sequence[Customer], count: int) -> Iterator[Visit]:
    """Yields so many events by time; a browser belongs to a customer, or to a person unknown to the company."""
    strangers = _STRANGERS_PER_CUSTOMER * len(customers)
    browsers: list[tuple[str, Customer | None]] = [
        (f"{rng.getrandbits(32)}.{rng.getrandbits(40):013d}", customer)
        for customer in (*customers, *[None] * strangers)
    ]
    countries = sorted({customer.country for customer in customers})
    for moment in sorted(between(CALLS_TO - timedelta(days=900), CALLS_TO, rng.random()) for _ in range(count)):
        client, customer = rng.choice(browsers)
        known = customer is not None and customer.since <= moment and rng.random() < _SIGNED_IN
        country = customer.country if customer else rng.choice(countries)
        rare = rng.random() < _LEAVES_A_RARE_PAGE
        page = _RARE_PAGE.format(country.lower()) if rare else rng.choice(_PAGES)
        account = customer.code if customer and known else None
        yield Visit(moment, client, account, "page_view", page, country, rng.choice(_DEVICES))


def newsletters(rng: Random, customers: Sequence[Customer]) -> Iterator[Subscription]:
    """Yields one for each customer who has consented."""
    for customer in customers:
        if customer.marketing_consent:
            last = between(CALLS_TO - timedelta(days=1_200), CALLS_TO, rng.random())
            if customer.last_activity is not None:
                last = datetime.combine(customer.last_activity, time(12), UTC)
            subscribed = min(customer.since, last) - timedelta(days=rng.randint(0, 300))
            yield Subscription(customer.code, customer.emails[0].lower(), rng.choice(_TOPICS), subscribed, last)
