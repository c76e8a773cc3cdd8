"""A decision: who may make it, about what, what it asks, what it will do, and the use case that does it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from babel import Locale
from pydantic import BaseModel

from services.console.console import Person, Works
from services.console.roles import Power
from services.intake.actions.performing import Done
from services.intake.request.aggregate import Request
from shared.domain import wording
from shared.domain.wording import Language
from shared.messaging.unit_of_work import UnitOfWork

Kind = Literal["text", "area", "lines", "numbers", "choose", "choices", "number", "day", "moment", "check"]
"""How a field is asked for.

``lines``: one value a line; ``numbers``: telephone numbers, likewise; ``moment``: day and time in the zone of the
controller.
"""
Options = Sequence[tuple[str, str]]
LANGUAGES: Final[Mapping[Language, str]] = {each: str(Locale.parse(each).english_name) for each in wording.LANGUAGES}
"""Those in which people are written to."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is decided about: a request, or a ``row`` of another list."""

    works: Works
    person: Person
    request: Request | None = None
    row: Any = None

    def rehearsed(self) -> "Subject":
        """The same, about which everything is checked and nothing is done."""
        return replace(self, works=replace(self.works, services=self.works.services.rehearsed()))


@dataclass(frozen=True, slots=True)
class Asked:
    """A field of a decision, by its name in the body of the API."""

    name: str
    label: str
    kind: Kind = "text"
    hint: str = ""
    options: Callable[[Subject], Options] = lambda _: ()

    def read(self, said: str) -> object:
        """What a field says, as the body takes it; None: it says nothing."""
        if self.kind == "check":
            return said == "yes"
        if not said:
            return None
        if self.kind in {"lines", "numbers"}:
            lines = [line.strip() for line in said.split("\n") if line.strip()]
            return [{"number": each} for each in lines] if self.kind == "numbers" else lines
        if self.kind == "number":
            return int(said) if said.isascii() and said.isdecimal() else said
        return said


Does = Callable[[Subject], Sequence[str]]
Do = Callable[[Subject, str, Any], Awaitable[str | Done | None]]
"""Gives the path of the page to go on to, if it is another one than that of what was decided about."""
Facts = Callable[[Subject], Awaitable[Sequence[tuple[str, str]]]]


def at_once(step: Callable[[UnitOfWork, Subject, Any], Awaitable[object]]) -> Do:
    """Does it in one unit of work."""

    async def do(subject: Subject, _: str, said: BaseModel | None) -> None:
        async with subject.works.services.unit_of_work.begin() as tx:
            await step(tx, subject, said)

    return do


async def no_facts(_: Subject) -> Sequence[tuple[str, str]]:
    """Of what is shown besides: nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision.

    ``name``: in the address. ``title``: in the words of its link, heading and button. ``when``: whether it can be
    decided as things stand. ``does``: what it will do, sentence by sentence. ``body``: of the API, of which ``asks``
    names the fields. ``do``: the use case; it gets the version of the request that the page has shown. ``reads``: what
    is read first, and goes on record. ``irreversible``: what it does cannot be taken back.
    """

    name: str
    title: str
    power: Power
    does: Does
    do: Do
    when: Callable[[Subject], bool]
    body: type[BaseModel] | None = None
    asks: Sequence[Asked] = ()
    reads: Facts = no_facts
    irreversible: bool = False


def saying(*sentences: str) -> Does:
    """Of a decision that does the same whatever it is about."""
    return lambda _: sentences
