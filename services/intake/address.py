"""Where a call comes from, as the outermost of our own proxies saw it; pure."""

from starlette.types import Scope

_LONGEST = 64


def address_of(scope: Scope, forwarded: str, proxies: int) -> str:
    """The address of who calls; ``forwarded``: what ``X-Forwarded-For`` says, of which ours wrote the last ones."""
    seen = [each.strip() for each in forwarded.split(",") if each.strip()]
    if proxies and len(seen) >= proxies:
        return seen[-proxies][:_LONGEST]
    return str((scope.get("client") or ("",))[0])
