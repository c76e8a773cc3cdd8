"""Pairs of right, kind of system and condition, and the expected result of each."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tests.acceptance.client import CITY, RIGHTS, Case, Person, tasks
from tests.acceptance.platforms import Platform
from tests.acceptance.systems import NOTHING, Held
from tests.fixtures.live import eventually

KINDS = ("shop", "archive", "helpdesk", "crm", "tickets", "billing")
"""PostgreSQL, MariaDB, HTTP, Tryton, Roundup, and a team on the bus."""
COPIES = ("access", "portability")
CONDITIONS: dict[str, list["Pair"]] = {}
"""The rows of each condition."""


class Pair(NamedTuple):
    """One row: a right, the system that holds the person, and the condition."""

    right: str
    kind: str
    condition: str

    def __str__(self) -> str:
        return f"{self.right}-{self.kind}"


def rows(
    condition: str, rights: Sequence[str] = tuple(RIGHTS), kinds: Sequence[str] = KINDS, start: int | None = None
) -> list[Pair]:
    """The rows of a condition: each right and each kind that it applies to, once or more; the kinds shift by condition.

    So each pair of right and kind occurs under one condition or another, and not all three together. ``start``: with
    which kind the first right is asked, if not with the next.
    """
    shift = len(CONDITIONS) if start is None else start
    longest = max(len(rights), len(kinds))
    made = [Pair(rights[n % len(rights)], kinds[(n + shift) % len(kinds)], condition) for n in range(longest)]
    return _kept(condition, made)


def named(condition: str, *pairs: tuple[str, str]) -> list[Pair]:
    """The rows of a condition that applies to few rights in few kinds, each named."""
    return _kept(condition, [Pair(right, kind, condition) for right, kind in pairs])


def _kept(condition: str, made: list[Pair]) -> list[Pair]:
    CONDITIONS.setdefault(condition, []).extend(made)
    return made


def expected(pair: Pair, before: Held) -> Held:
    """Returns the state that the system shows after the right was fulfilled."""
    match pair.right:
        case "erasure":
            return NOTHING
        case "rectification" if before.city:
            return replace(before, city=CITY)
        case "restriction":
            return replace(before, restricted=True)
        case "objection" | "consent_withdrawal" if before.marketing is not None:
            return replace(before, marketing=False)
        case _:
            return before


async def fulfilled(platform: Platform, pair: Pair, person: Person, before: Held, case: Case) -> dict[str, Any]:
    """Waits for the end of a request, and looks whether the system, the letter and the package say that it is done."""
    view = await case.closed()
    held = pair.right != "rectification" or before.city is not None  # what has no such field holds nothing to correct
    assert view["outcome"] == ("fulfilled" if held else "no_data"), view["answer"]

    async def reached() -> bool:
        return await platform.systems[pair.kind].held(person) == expected(pair, before)

    # What waited to be corrected was restricted meanwhile (Art. 18(1)(a)), which ends after the answer.
    assert await (eventually(reached, within=180) if pair.right == "rectification" else reached())
    assert (tasks(view)[pair.kind]["found"] > 0) is held
    if pair.right in COPIES:
        assert (await case.package()).of(pair.kind)
    await platform.answered(case)
    return view


async def untouched(platform: Platform, pair: Pair, person: Person, before: Held) -> None:
    assert await platform.systems[pair.kind].held(person) == before
