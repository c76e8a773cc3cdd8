"""When calls happen and to whose number they belong: mostly in office hours, to busy people more than to others."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from random import Random

from deploy.demo.company.cast import Character
from deploy.demo.company.dates import CALLS_FROM, CALLS_TO
from deploy.demo.company.model import Customer, Phone

_HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 20, 19, 15, 14, 16, 18, 19, 18, 15, 12, 9, 6, 3, 2)
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Held:
    """A number that a customer held while calls were recorded, in seconds since 1970: ``[first, last)``."""

    owner: int
    phone: Phone
    first: int
    last: int


def held_numbers(customers: Sequence[Customer]) -> tuple[Held, ...]:
    """Every number of every customer, clipped to the time of the recorded calls."""
    return tuple(
        Held(owner, phone, first, last)
        for owner, customer in enumerate(customers)
        for phone in customer.phones
        for first, last in [
            (_second(max(phone.valid_from, CALLS_FROM)), _second(min(phone.valid_to or CALLS_TO, CALLS_TO)))
        ]
        if first < last
    )


def agenda(
    rng: Random, held: Sequence[Held], characters: Mapping[int, Character], count: int, scale: float
) -> list[int]:
    """``count`` calls in order of time, each in one integer: ``second << 16 | position in held``.

    ``characters`` by position of the customer, who get as many as their part needs; ``scale``: 1.0 at full size.
    """
    picked: list[int] = []
    weights: list[float] = []
    busy = [0.3 + 2.2 * rng.random() ** 2 for _ in range(max(number.owner for number in held) + 1)]
    total = {owner: sum(number.last - number.first for number in held if number.owner == owner) for owner in characters}
    for position, number in enumerate(held):
        length = number.last - number.first
        character = characters.get(number.owner)
        if character is None:
            weights.append(busy[number.owner] * length)
        else:
            weights.append(0.0)
            picked += [position] * math.ceil(max(4.0, character.calls * scale) * length / total[number.owner])
    picked += rng.choices(range(len(held)), cum_weights=list(accumulate(weights)), k=count - len(picked))
    times = [hour * 3600 + int(rng.random() * 3600) for hour, weight in enumerate(_HOURS) for _ in range(weight * 20)]
    random = rng.random
    entries = []
    for position in picked:
        number = held[position]
        second = number.first + int(random() * (number.last - number.first))
        usual = second - second % _DAY + times[int(random() * len(times))]
        entries.append((usual if number.first <= usual < number.last else second) << 16 | position)
    entries.sort()
    return entries


def _second(moment: datetime) -> int:
    return int(moment.timestamp())
