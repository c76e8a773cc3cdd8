"""In which state of a record something of the subject must stay, as a declaration says it; pure.

A state that the policy knows is told, and keeps what its rules say (``staying.py``). For any other nothing of theirs
goes.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Self

from pydantic import JsonValue, model_validator

from shared.domain.errors import GroundUnknown, Refused
from shared.downstreams.contract import States
from shared.downstreams.http.paths import ABSENT, Condition, at, same
from shared.downstreams.refusals import STATES, ErasureRefused, Reason, lasting

Told = tuple[str, "Refusal", bool | None]
"""A kind of record that was found, a state that it declares, and whether that lasts by it; None: it does not tell."""


class Refusal(Condition):
    """In which state of a record nothing of the subject may be erased, and why, in a word of ours.

    Where that is a state while which a rule of the policy keeps it, it stays by that rule.

    ``over``: the values that say that it is not so; with them any other is one that nobody knows. Of a state that rules
    of the policy rest on a record without a value says neither.
    """

    reason: Reason
    over: tuple[JsonValue, ...] = ()

    @property
    def word(self) -> str | None:
        """What the rules of the policy call the state; None: they have none for it."""
        return STATES.get(self.reason)

    def lasts(self, record: object) -> bool | None:
        """Whether it lasts by a record; None: that does not tell."""
        if self.holds_of(record):
            return True
        if self.path is None or self.absent is not None or not (self.word or self.over):
            return False
        value = at(record, self.path)
        if value is ABSENT or value is None:
            return None
        return None if self.over and not any(same(value, each) for each in self.over) else False

    @model_validator(mode="after")
    def _is_of_a_record(self) -> Self:
        if self.path is None:
            raise ValueError("give the path of what a record says")
        if self.over and not self.model_fields_set & {"equals", "is_in"}:
            raise ValueError("over has the values that say that it is not so: write those that say so as in or equals")
        if any(self.lasts_by(each) for each in self.over):
            raise ValueError("over has the values that are not among those of in or equals: write each once")
        return self

    def lasts_by(self, value: JsonValue) -> bool:
        """Whether it lasts where that value stands."""
        return same(value, self.equals) if "equals" in self.model_fields_set else value in (self.is_in or ())


def told(found: Iterable[tuple[str, object, Sequence[Refusal]]]) -> list[Told]:
    """What records say of the states that their kinds declare: each by its kind, itself, and these."""
    return [(kind, each, each.lasts(record)) for kind, record, declared in found for each in declared]


def states(declared: Iterable[Refusal], said: Sequence[Told]) -> States | None:
    """Which states of the policy last by what was told; None where none is declared."""
    known: dict[str, bool | None] = {word: False for each in declared if (word := each.word)}
    for _, each, lasts in said:
        if each.word:
            known[each.word] = lasting(known[each.word], lasts)
    return known or None


def refusal(system: str, said: Sequence[Told], stays: Callable[[str, str | None], bool]) -> Refused | None:
    """Why nothing may be erased: a record is in a state, or does not tell whether it is.

    ``stays``: whether what is of that kind and in that state stays, or may, while the rest goes.
    """
    for kind, each, lasts in said:
        if lasts and not (each.word and stays(kind, each.word)):
            return ErasureRefused(f"{system} has a {kind} that must stay now: {each.reason}")
    for kind, each, lasts in said:
        if lasts is None:
            return GroundUnknown(
                f"{system} has a {kind} that does not say whether {each.reason}: enter it there, or name its value in"
                " the declaration, and try again; nothing was done"
            )
    return None
