"""Limits how much each caller, and all callers together, may ask for: the rest is refused and stores nothing."""

import asyncio
import ipaddress

from starlette.types import Scope

from services.intake.core.errors import Overloaded, TooManyCalls

_MAX_CALLERS = 10_000
"""Callers whose rate is remembered at a time."""


class RateLimiter:
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
        if who not in self._until and len(self._until) >= _MAX_CALLERS:
            del self._until[next(iter(self._until))]
        self._until[who] = until + (seconds or self._each)


class SharedQuota:
    """Limits the amount in use by all callers together; one caller gets at most half."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._total = 0
        self._held: dict[str, int] = {}

    def acquire(self, who: str, amount: int) -> None:
        """Reserves an amount; raises ``TooManyCalls``, ``Overloaded``."""
        amount_held = self._held.get(who, 0) + amount
        if amount_held > self._most // 2:
            raise TooManyCalls("too much that you sent is still under way; send it again when it is answered")
        if self._total + amount > self._most:
            raise Overloaded("too much is under way; nothing was stored, send it again")
        self._total += amount
        self._held[who] = amount_held

    def release(self, who: str, amount: int) -> None:
        """Returns a reserved amount."""
        self._total -= amount
        remaining = self._held.pop(who, 0) - amount
        if remaining:
            self._held[who] = remaining


_MAX_ADDRESS = 64


def client_address(scope: Scope, forwarded: str, proxies: int) -> str:
    """Returns the client address for rate limits, behind ``proxies`` trusted proxies.

    ``forwarded``: the header ``X-Forwarded-For``. An IPv6 address counts as its /64 network, which one client has.
    """
    seen = [each.strip() for each in forwarded.split(",") if each.strip()]
    if proxies and len(seen) >= proxies:
        return _network_of(seen[-proxies][:_MAX_ADDRESS])
    return _network_of(str((scope.get("client") or ("",))[0]))


def _network_of(address: str) -> str:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    if known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((int(known), 64), strict=False))
