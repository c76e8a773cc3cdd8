"""In which state of a record something of the subject must stay, as a declaration says it; pure.

A state that the policy knows keeps what its rules say. For any other nothing of theirs goes.
"""

from typing import Self

from pydantic import JsonValue, model_validator

from shared.systems.engine.records import ABSENT
from shared.systems.http.paths import Condition, at, same
from shared.systems.states import STATES, Reason


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
