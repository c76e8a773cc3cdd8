"""Ports on 127.0.0.1, and ways to see that something answers there."""

import atexit
import secrets
import socket
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

HOST = "127.0.0.1"
_DIRECT = build_opener(ProxyHandler({}))

# Below the range from which systems give ports to outgoing connections: such a connection could otherwise take a
# server's port between its kill and its restart.
_LOWEST = 15_000
_HIGHEST = 32_000


# What was given out is kept from the other processes of this machine that look for a port, by the UDP port of the same
# number: a server listens seconds after its port was chosen. Given up by the end of this process at the latest.
_KEPT = 256
_kept: deque[socket.socket] = deque()


@atexit.register
def _give_up() -> None:
    while _kept:
        _kept.popleft().close()


def free_ports(count: int) -> list[int]:
    """Returns that many free ports, which no other call gets while we run.

    The last 256 are remembered.
    """
    ports: list[int] = []
    while len(ports) < count:
        candidate = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
        ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            ours.bind((HOST, candidate))
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
                listener.bind((HOST, candidate))
        except OSError:
            ours.close()
        else:
            _kept.append(ours)
            ports.append(candidate)
    while len(_kept) > _KEPT:
        _kept.popleft().close()
    return ports


def free_port() -> int:
    """A port on which nothing listens now; see `free_ports`."""
    return free_ports(1)[0]


def accepts(port: int) -> Callable[[], bool]:
    """Whether something accepts connections on the port."""

    def probe() -> bool:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            return False
        return True

    return probe


def answers(url: str) -> Callable[[], bool]:
    """Whether a GET of the http URL is answered with 200."""

    def probe() -> bool:
        try:
            with _DIRECT.open(url, timeout=2) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except (OSError, HTTPException):
            return False

    return probe
