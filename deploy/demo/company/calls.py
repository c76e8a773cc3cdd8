"""The calls, as a switch writes them down: several spellings of one number, withheld callers, calls nobody took."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import merge
from random import Random

from deploy.demo.company.cast import CHARACTERS
from deploy.demo.company.countries import NumberPlan, countries
from deploy.demo.company.dates import CALLS_FROM, CALLS_TO
from deploy.demo.company.model import Call, Customer, Phone

ANONYMOUS = "anonymous"
SPELLINGS = ("+", "+", "+", "00", "00", "", "000")
"""What a switch puts before the country code, as often as it does."""

_DEVICES = (
    "Yealink SIP-T46U 108.86.0.70",
    "Grandstream GXP2170 1.0.11.64",
    "Zoiper rv2.10.20.5",
    "Linphone/5.2.6 (belle-sip/5.3.0)",
    "MicroSIP/3.21.3",
    "snomD785/10.1.175.16",
)
_TRUNK = "Interconnect-SBC/7.4"
_ON_NET, _OUTGOING, _ANSWERED = 0.35, 0.55, 0.82
_DAY, _OPENS, _CLOSES = 86_400, 7 * 3600, 20 * 3600
_WITHHELD, _WITHHELD_ELSEWHERE = 0.015, 0.04
_MEAN_SECONDS, _LONGEST_SECONDS = 170, 3 * 3600
_ELSEWHERE_PER_COUNTRY = 500

Scene = tuple[int, int | None, str, str, bool]
"""Second, position of the calling customer (``None``: not ours), caller, callee, withheld."""


@dataclass(frozen=True, slots=True)
class Held:
    """A number that a customer held while calls were recorded, in seconds since 1970: ``[first, last)``."""

    owner: int
    phone: Phone
    first: int
    last: int


class Calls:
    """All calls in order of their start; reading them again gives the same ones."""

    def __init__(
        self, seed: int, customers: Sequence[Customer], cast: Mapping[str, Customer], plan: NumberPlan, count: int
    ) -> None:
        self._seed = seed
        self._count = count
        position = {customer.code: index for index, customer in enumerate(customers)}
        self._cast = {role: (position[customer.code], customer) for role, customer in cast.items()}
        self._held = _held_numbers(customers)
        self._withheld = {index: CHARACTERS[role].withheld for role, (index, _) in self._cast.items()}
        self._elsewhere = tuple(
            plan.draw(country) for country in countries().values() for _ in range(_ELSEWHERE_PER_COUNTRY)
        )

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Call]:
        rng = Random(f"{self._seed} calls")  # noqa: S311 - nothing here is a secret
        for second, caller, number, callee, withheld in merge(
            self._ordinary(rng), sorted(self._staged()), key=lambda scene: scene[0]
        ):
            yield self._write(rng, second, caller, number, callee, withheld=withheld)

    def _ordinary(self, rng: Random) -> Iterator[Scene]:
        held, elsewhere, random = self._held, self._elsewhere, rng.random
        for second, position in self._times(rng, self._count - len(self._staged())):
            owner, number = held[position].owner, held[position].phone.number
            other, peer = None, elsewhere[int(random() * len(elsewhere))]
            if random() < _ON_NET:  # another customer, if somebody who is drawn holds a number at that time
                somebody = held[int(random() * len(held))]
                if somebody.owner != owner and somebody.first <= second < somebody.last:
                    other, peer = somebody.owner, somebody.phone.number
            if random() < _OUTGOING:
                yield second, owner, number, peer, random() < self._withheld.get(owner, _WITHHELD)
            else:
                share = _WITHHELD_ELSEWHERE if other is None else self._withheld.get(other, _WITHHELD)
                yield second, other, peer, number, random() < share

    def _times(self, rng: Random, count: int) -> list[tuple[int, int]]:
        """So many calls in order of time: second, and position of the number; a character has what their part needs."""
        lengths = [number.last - number.first for number in self._held]
        ordinary = list(lengths)
        picked: list[int] = []
        for role, (owner, _) in self._cast.items():
            calls = max(4.0, CHARACTERS[role].calls * self._count / 300_000)
            own = [position for position, number in enumerate(self._held) if number.owner == owner]
            for position in own:
                picked += [position] * math.ceil(calls * lengths[position] / sum(lengths[each] for each in own))
                ordinary[position] = 0
        picked += rng.choices(range(len(self._held)), weights=ordinary, k=count - len(picked))
        times = []
        for position in picked:
            number = self._held[position]
            second = number.first + int(rng.random() * (number.last - number.first))
            usual = second - second % _DAY + int(_OPENS + rng.random() * (_CLOSES - _OPENS))
            times.append((usual if number.first <= usual < number.last else second, position))
        return sorted(times)

    def _staged(self) -> list[Scene]:
        """Calls that the demonstration counts on: withheld and open ones to who asks for a copy, some in a gap."""
        caller, joao = self._cast["joao"]
        other_caller, elodie = self._cast["elodie"]
        _, jonas = self._cast["jonas"]
        _, pieter = self._cast["pieter"]
        given_up = pieter.phones[0].valid_to
        if given_up is None:
            message = "the character whose number is re-assigned still has it"
            raise ValueError(message)
        start = int(datetime(2026, 3, 9, 14, 0, tzinfo=UTC).timestamp())
        gap = int(given_up.timestamp())
        return [
            *(
                (start + week * 7 * 86_400, caller, joao.phones[0].number, jonas.phones[0].number, True)
                for week in range(5)
            ),
            *(
                (
                    start + week * 7 * 86_400 + 3_600,
                    other_caller,
                    elodie.phones[0].number,
                    jonas.phones[0].number,
                    False,
                )
                for week in range(5)
            ),
            # The first comes in the very second in which the number stopped being his: the period is half-open.
            *((gap + day * 9 * 86_400, None, self._elsewhere[day], pieter.phones[0].number, False) for day in range(4)),
        ]

    def _write(self, rng: Random, second: int, caller: int | None, number: str, callee: str, *, withheld: bool) -> Call:
        random = rng.random
        start = datetime.fromtimestamp(second, UTC)
        rang = 2 + int(random() * 24)
        answered = random() < _ANSWERED
        spoken = min(_LONGEST_SECONDS, 1 + int(-math.log(1.0 - random()) * _MEAN_SECONDS)) if answered else 0
        if caller is None:
            src_ip, user_agent = f"192.0.2.{10 + int(random() * 8)}", _TRUNK
        else:
            src_ip, user_agent = device_address(caller), _DEVICES[caller % len(_DEVICES)]
        return Call(
            start=start,
            answered_at=start + timedelta(seconds=rang) if answered else None,
            end=start + timedelta(seconds=rang + spoken),
            caller=ANONYMOUS if withheld else _spell(random(), number),
            callee=_spell(random(), callee),
            callid=f"{rng.getrandbits(64):016x}@{src_ip}",
            src_ip=src_ip,
            user_agent=user_agent,
            withheld=withheld,
            pai=number if withheld else None,
        )


def _held_numbers(customers: Sequence[Customer]) -> tuple[Held, ...]:
    """Every number of every customer, clipped to the time of the recorded calls."""
    clipped = (
        Held(
            owner,
            phone,
            int(max(phone.valid_from, CALLS_FROM).timestamp()),
            int(min(phone.valid_to or CALLS_TO, CALLS_TO).timestamp()),
        )
        for owner, customer in enumerate(customers)
        for phone in customer.phones
    )
    return tuple(number for number in clipped if number.first < number.last)


def device_address(position: int) -> str:
    """The address of a customer's device, in the range set aside for benchmarks (RFC 2544)."""
    return f"198.18.{position // 250}.{1 + position % 250}"


def _spell(fraction: float, number: str) -> str:
    return SPELLINGS[int(fraction * len(SPELLINGS))] + number[1:]
