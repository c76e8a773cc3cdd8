"""The calls, as a switch writes them down: several spellings of one number, withheld callers, unanswered calls."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from deploy.demo.company.model import CALLS_FROM, CALLS_TO, Call, Customer
from deploy.demo.company.people import CHARACTERS, STAGED

ANONYMOUS = "anonymous"
SPELLINGS = ("+", "+", "+", "00", "00", "", "000")
"""Prefixes that a switch adds to the country code, by frequency."""
_DEVICES = ("Yealink SIP-T46U 108.86.0.70", "Grandstream GXP2170 1.0.11.64", "Linphone/5.2.6 (belle-sip/5.3.0)")
_TRUNK = "Interconnect-SBC/7.4"
_ON_NET, _OUTGOING, _ANSWERED, _WITHHELD = 0.35, 0.55, 0.82, 0.02
_DAY, _OPENS, _CLOSES = 86_400, 7 * 3600, 20 * 3600
_MEAN_SECONDS, _LONGEST_SECONDS = 170, 3 * 3600
_ALL_CALLS = 150_000
"""The number of calls of which a character has as many as the cast says."""


class _Scene(NamedTuple):
    """Second, position of the calling customer (``None``: none of the company's), caller, callee, withheld."""

    second: int
    owner: int | None
    caller: str
    callee: str
    withheld: bool


class _Held(NamedTuple):
    """A number that a customer held while calls were recorded, in seconds since 1970: ``[first, last)``."""

    owner: int
    number: str
    first: int
    last: int


class Calls:
    """All calls in order of their start; reading them again gives the same ones."""

    def __init__(
        self,
        seed: int,
        customers: Sequence[Customer],
        cast: Mapping[str, Customer],
        elsewhere: Sequence[str],
        count: int,
    ) -> None:
        self._seed, self._count, self._elsewhere = seed, count, elsewhere
        places = {customer.code: place for place, customer in enumerate(customers)}
        self._cast = {role: places[customer.code] for role, customer in cast.items()}
        self._withheld = {place: CHARACTERS[role].withheld for role, place in self._cast.items()}
        clipped = (
            _Held(owner, phone.number, _second(max(phone.valid_from, CALLS_FROM)), _second(min(until, CALLS_TO)))
            for owner, customer in enumerate(customers)
            for phone in customer.phones
            for until in (phone.valid_to or CALLS_TO,)
        )
        self._held = [held for held in clipped if held.first < held.last]
        self._staged = [
            _Scene(
                _second(each.begins) + number * each.every_days * _DAY,
                self._cast.get(each.by) if each.by else None,
                cast[each.by].phones[0].number if each.by else elsewhere[number],
                cast[each.to].phones[0].number,
                each.withheld,
            )
            for each in STAGED
            for number in range(each.times)
        ]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Call]:
        rng = Random(f"{self._seed} calls")  # noqa: S311 - nothing here is a secret
        picked: list[_Held] = []
        for role, owner in self._cast.items():
            wanted = max(4, CHARACTERS[role].calls * self._count // _ALL_CALLS)
            picked += _by_length(rng, [held for held in self._held if held.owner == owner], wanted)
        others = [held for held in self._held if held.owner not in self._withheld]
        picked += _by_length(rng, others, self._count - len(picked) - len(self._staged))
        for scene in sorted([*self._staged, *(self._scene(rng, held) for held in picked)], key=lambda each: each[0]):
            yield _write(rng, scene)

    def _scene(self, rng: Random, held: _Held) -> _Scene:
        """A call with the number, by day if the number was held then; often with another customer."""
        second = rng.randrange(held.first, held.last)
        usual = second - second % _DAY + rng.randrange(_OPENS, _CLOSES)
        second = usual if held.first <= usual < held.last else second
        owner, other, peer = held.owner, None, rng.choice(self._elsewhere)
        drawn = rng.choice(self._held)
        if rng.random() < _ON_NET and drawn.owner != owner and drawn.first <= second < drawn.last:
            other, peer = drawn.owner, drawn.number
        if rng.random() < _OUTGOING:
            return _Scene(second, owner, held.number, peer, rng.random() < self._withheld.get(owner, _WITHHELD))
        share = self._withheld.get(other, _WITHHELD) if other is not None else _WITHHELD
        return _Scene(second, other, peer, held.number, rng.random() < share)


def _write(rng: Random, scene: _Scene) -> Call:
    start, rang = datetime.fromtimestamp(scene.second, UTC), rng.randint(2, 25)
    answered = rng.random() < _ANSWERED
    spoken = min(_LONGEST_SECONDS, 1 + int(-math.log(1.0 - rng.random()) * _MEAN_SECONDS)) if answered else 0
    if scene.owner is None:
        src_ip, user_agent = f"192.0.2.{rng.randint(10, 17)}", _TRUNK
    else:
        src_ip, user_agent = device_address(scene.owner), _DEVICES[scene.owner % len(_DEVICES)]
    return Call(
        start=start,
        answered_at=start + timedelta(seconds=rang) if answered else None,
        end=start + timedelta(seconds=rang + spoken),
        caller=ANONYMOUS if scene.withheld else rng.choice(SPELLINGS) + scene.caller[1:],
        callee=rng.choice(SPELLINGS) + scene.callee[1:],
        callid=f"{rng.getrandbits(64):016x}@{src_ip}",
        src_ip=src_ip,
        user_agent=user_agent,
        withheld=scene.withheld,
        pai=scene.caller if scene.withheld else None,
    )


def device_address(place: int) -> str:
    """Returns the address of a customer's device, in the range set aside for benchmarks (RFC 2544)."""
    return f"198.18.{place // 250}.{1 + place % 250}"


def _by_length(rng: Random, numbers: Sequence[_Held], count: int) -> list[_Held]:
    return rng.choices(numbers, [held.last - held.first for held in numbers], k=count) if numbers and count > 0 else []


def _second(moment: datetime) -> int:
    return int(moment.timestamp())
