"""Reading what is configured so that all that is wrong with it is told at once, and where it stands."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from shared.domain.errors import Fault, Misconfigured

T = TypeVar("T")


def of_variable(variable: str, read: Callable[[], T]) -> T:
    """What it reads.

    Raises:
        Misconfigured: as it says, and names the variable that says where to read.
    """
    try:
        return read()
    except Misconfigured as error:
        raise Misconfigured(*(replace(fault, under=_above(variable, fault)) for fault in error.faults)) from error


def _above(variable: str, fault: Fault) -> str:
    return f"{variable}: {fault.under}" if fault.under else variable


def all_of(reads: Iterable[Callable[[], T]]) -> list[T]:
    """What each of them reads.

    Raises:
        Misconfigured: says what is wrong with any of them, not with the first alone.
    """
    done: list[T] = []
    faults: list[Fault] = []
    for read in reads:
        try:
            done.append(read())
        except Misconfigured as error:
            faults += error.faults
    if faults:
        raise Misconfigured(*faults)
    return done
