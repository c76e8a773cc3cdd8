"""The support tickets: people write their name, number and address in sentences, and attach files that hold them."""

import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Literal

from deploy.demo.company.cast import CHARACTERS
from deploy.demo.company.countries import ascii_word
from deploy.demo.company.dates import CALLS_TO, between
from deploy.demo.company.model import Attachment, Customer, Message, Phone, Ticket

_FIRST_NUMBER = 20_001
_RESOLVED, _ANSWERED_ONLY = 0.72, 0.9
_STATUSES: Sequence[Literal["new", "open", "waiting", "resolved"]] = ("resolved", "waiting", "open", "new")
_SHARES = (_RESOLVED, (_RESOLVED + _ANSWERED_ONLY) / 2, _ANSWERED_ONLY)
_WITH_ATTACHMENT = 0.18
_EMAIL_AS_TYPED = 0.1


def open_tickets(
    rng: Random, customers: Sequence[Customer], cast: Mapping[str, Customer], count: int
) -> tuple[Ticket, ...]:
    """``count`` tickets in the order in which they were opened; every character has as many as their part needs."""
    phrases = tomllib.loads((Path(__file__).parent / "tickets.toml").read_text(encoding="utf-8"))
    requesters = [customer for role, customer in cast.items() for _ in range(CHARACTERS[role].tickets)]
    characters = {customer.code for customer in cast.values()}
    ordinary = [customer for customer in customers if customer.code not in characters]
    attached = {id(customer): CHARACTERS[role].tickets for role, customer in cast.items()}
    requesters += rng.choices(ordinary, k=count - len(requesters))
    opened = sorted(
        ((between(customer.since, CALLS_TO - timedelta(days=1), rng.random()), customer) for customer in requesters),
        key=lambda entry: (entry[0], entry[1].code),
    )
    tickets = []
    for number, (created_at, customer) in enumerate(opened, start=_FIRST_NUMBER):
        # A character's last ticket always has a file, so that there is one to export or erase.
        attached[id(customer)] = attached.get(id(customer), 0) - 1
        with_file = attached[id(customer)] == 0 or rng.random() < _WITH_ATTACHMENT
        tickets.append(
            _ticket(
                rng, number, created_at, customer, phrases.get(customer.language, phrases["en"]), with_file=with_file
            )
        )
    return tuple(tickets)


def _ticket(
    rng: Random, number: int, created_at: datetime, customer: Customer, phrases: Mapping[str, Any], *, with_file: bool
) -> Ticket:
    phone = _phone_at(customer, created_at)
    email = customer.emails[int(rng.random() * len(customer.emails))]
    if rng.random() < _EMAIL_AS_TYPED:
        email = email.upper() if email.islower() else email.lower()
    filling = _filling(customer, phone, email)
    subject, question = _one_of(rng, phrases["subjects"])
    state = rng.random()
    messages = [Message(created_at, "requester", f"{phrases['greeting']}\n\n{question}".format_map(filling))]
    moment = created_at
    if state < _ANSWERED_ONLY:
        moment += timedelta(minutes=20 + int(rng.random() * 2_800))
        messages.append(Message(moment, "agent", str(_one_of(rng, phrases["answers"])).format_map(filling)))
    if state < _RESOLVED:
        moment += timedelta(minutes=30 + int(rng.random() * 8_000))
        messages.append(Message(moment, "requester", str(_one_of(rng, phrases["closings"])).format_map(filling)))
    return Ticket(
        number=number,
        requester_code=customer.code,
        title=f"{subject} ({customer.name})" if rng.random() < _WITH_ATTACHMENT else subject,
        messages=tuple(messages),
        attachments=(_attachment(rng, customer, phone, created_at),) if with_file else (),
        status=_STATUSES[bisect_right(_SHARES, state)],
        created_at=created_at,
    )


def _phone_at(customer: Customer, moment: datetime) -> Phone:
    return next((phone for phone in customer.phones if phone.held_at(moment)), customer.phones[-1])


def _filling(customer: Customer, phone: Phone, email: str) -> Mapping[str, Any]:
    return {
        **asdict(customer),
        "first": customer.name.split(" ", 1)[0],
        "email": email,
        "number": phone.number,
        "spaced": spaced(phone.number),
    }


def spaced(number: str) -> str:
    """The number in groups of three, as people write it down."""
    digits = number[1:]
    return "+" + " ".join(digits[start : start + 3] for start in range(0, len(digits), 3))


def _attachment(rng: Random, customer: Customer, phone: Phone, moment: datetime) -> Attachment:
    if rng.random() < 1 / 2:
        lines = [
            f"{moment + timedelta(seconds=17 * line):%Y-%m-%d %H:%M:%S} REGISTER {phone.number} 200 OK"
            for line in range(6)
        ]
        return Attachment(f"phone-log-{phone.number[1:]}.txt", "text/plain", "\n".join(lines).encode())
    address = (customer.name, customer.street, f"{customer.postal_code} {customer.city}")
    letter = "\n".join((*address, "", f"Contract {customer.code}", f"Line {phone.number}", ""))
    return Attachment(
        f"letter-{ascii_word(customer.name).replace('.', '-')}.txt", "text/plain; charset=utf-8", letter.encode()
    )


def _one_of(rng: Random, items: Sequence[Any]) -> Any:
    return items[int(rng.random() * len(items))]
