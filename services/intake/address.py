"""Where a call comes from, as the outermost of our own proxies saw it; pure."""

import ipaddress

from starlette.types import Scope

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
