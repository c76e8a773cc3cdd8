"""Ports on 127.0.0.1, and ways to see that something answers there."""

import secrets
import socket
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


def free_ports(count: int) -> list[int]:
    """That many different ports on which nothing listens now."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            candidate = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                candidate.bind((HOST, _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)))
            except OSError:
                candidate.close()
            else:
                held.append(candidate)
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()


def free_port() -> int:
    """A port on which nothing listens now."""
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
