"""A connection whose other end is gone without a word, as with a lost node, ends in seconds and not in minutes."""

import socket
from typing import Any

_OPTIONS = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 5_000}
"""Seconds until the first probe and between two, how many may stay unanswered; milliseconds that what is sent may."""


def keep_alive(connection: Any) -> None:
    """Lets the kernel ask for a connection of asyncpg whether its server is there; one that is slow is waited for.

    Raises:
        ConnectionResetError: it is gone already, of which uvloop would say that a value of ours is wrong.
    """
    transport = connection._transport  # noqa: SLF001  # the library has no way to say so
    if transport.is_closing():
        raise ConnectionResetError("the connection was lost as soon as it was made")
    reached = transport.get_extra_info("socket")
    if reached.family == socket.AF_UNIX:
        return
    reached.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if option := getattr(socket, name, None):  # not every system has all of them
            reached.setsockopt(socket.IPPROTO_TCP, option, value)
