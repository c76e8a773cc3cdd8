"""Limits how much each caller, and all callers together, may ask for: the rest is refused and stores nothing."""

import asyncio
import ipaddress

from starlette.types import Scope

from services.intake.core.errors import Overloaded, TooManyCalls

_KNOWN = 10_000
"""Callers whose rate is remembered at a time."""


class Rate:
    """Limits the calls a second of each caller, with a burst (generic cell rate algorithm)."""

    def __init__(self, per_second: float, burst_seconds: float) -> None:
        self._each = 1 / per_second
        self._burst = burst_seconds
        self._until: dict[str, float] = {}

    def take(self, who: str, seconds: float = 0.0) -> None:
        """Counts a call, which takes the time of one at that rate, or so many seconds, all of them within the burst.

        Raises ``TooManyCalls``.
        """
        self.check_capacity(who, seconds)
        self.count(who, seconds)

    def check_capacity(self, who: str, seconds: float) -> None:
        """Raises ``TooManyCalls`` where a call of so many seconds would come too soon; counts nothing."""
        now = asyncio.get_running_loop().time()
        ahead = max(self._until.get(who, 0.0) - now, 0.0) + seconds
        if ahead > self._burst:
            raise TooManyCalls("slow down: this came too soon after what was sent before", ahead - self._burst)

    def count(self, who: str, seconds: float) -> None:
        """Counts a call of so many seconds."""
        until = max(self._until.get(who, 0.0), asyncio.get_running_loop().time())
        if who not in self._until and len(self._until) >= _KNOWN:
            del self._until[next(iter(self._until))]
        self._until[who] = until + (seconds or self._each)


class Quota:
    """Limits what is held at a time; one caller takes at most half."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._total = 0
        self._held: dict[str, int] = {}

    def take(self, who: str, amount: int) -> None:
        """Holds more; raises ``TooManyCalls``, ``Overloaded``."""
        held = self._held.get(who, 0) + amount
        if held > self._most // 2:
            raise TooManyCalls("too much that you sent is still under way; send it again when it is answered")
        if self._total + amount > self._most:
            raise Overloaded("too much is under way; nothing was stored, send it again")
        self._total += amount
        self._held[who] = held

    def give(self, who: str, amount: int) -> None:
        """Holds less."""
        self._total -= amount
        left = self._held.pop(who, 0) - amount
        if left:
            self._held[who] = left


_LONGEST = 64


def address_of(scope: Scope, forwarded: str, proxies: int) -> str:
    """The address of who calls; ``forwarded``: what ``X-Forwarded-For`` says, of which ours wrote the last ones.

    Of IPv6 it is the network (/64) that one customer of a provider is given: they may take any address within it.
    """
    seen = [each.strip() for each in forwarded.split(",") if each.strip()]
    if proxies and len(seen) >= proxies:
        return _of_one_customer(seen[-proxies][:_LONGEST])
    return _of_one_customer(str((scope.get("client") or ("",))[0]))


def _of_one_customer(address: str) -> str:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    if known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((int(known), 64), strict=False))
