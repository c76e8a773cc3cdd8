"""Bounds what an API key of a channel may state and do; pure. A refusal says what the key may do."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from services.intake.core.errors import Forbidden
from shared.domain.rights import Level, Right

INSTRUCTED: Level = "L3"
"""Level of what a customer states about the subject of an instruction: the customer knows who they are."""


class Power(StrEnum):
    """Powers of a key; one that leaks should not have both."""

    SUBMIT = "submit"
    FETCH = "fetch"
    CHECK = "check"


_WORDS = {
    Power.SUBMIT: "submit requests and move them on",
    Power.FETCH: "fetch packages",
    Power.CHECK: "ask who gets no marketing",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """The bounds of one key.

    ``tenant``: the customer who has it, and for whose data alone it speaks; None: for our own. ``level``: the
    highest that it may state. ``per_minute``: requests that it may submit in a minute, in each process of intake.
    ``by_hand``: it is the privacy team's, which states only proof that a person can observe.
    """

    level: Level = "L0"
    rights: frozenset[Right] = field(default_factory=lambda: frozenset(Right))
    powers: frozenset[Power] = frozenset({Power.SUBMIT})
    per_minute: int | None = None
    tenant: str | None = None
    by_hand: bool = False

    @classmethod
    def of(cls, level: Level, *powers: Power) -> "Grant":
        """Returns a key for every right that may state that level, and do this."""
        return cls(level, powers=frozenset(powers))

    def at_most(self, level: Level) -> "Grant":
        """Returns the same grant with no higher level than that."""
        return replace(self, level=min(self.level, level))

    def must(self, power: Power) -> None:
        """Raises ``Forbidden`` for what the key is not made for."""
        if power not in self.powers:
            may = _listed(_WORDS[each] for each in sorted(self.powers)) or "follow requests and nothing else"
            raise Forbidden(f"this key may not {_WORDS[power]}: it may {may}; use the channel's key for that")

    def must_handle(self, right: Right) -> None:
        """Raises ``Forbidden`` for a right that the key may not ask for."""
        if right not in self.rights:
            raise Forbidden(f"this key may not ask for {right}: it may ask for {_listed(sorted(self.rights))}")

    def must_instruct(self, instruction_id: str | None) -> None:
        """Raises ``Forbidden`` for an instruction without a customer, and for a customer's request without one."""
        if self.tenant and not instruction_id:
            raise Forbidden(
                f"this key is {self.tenant}'s: name the instruction by an instruction_id of yours (Art. 28(3)(a))"
            )
        if instruction_id and not self.tenant:
            raise Forbidden("this key is no customer's, so it instructs nothing: leave instruction_id out")

    def must_not_vouch(self, *said: object) -> None:
        """Raises ``Forbidden`` for proof by hand outside the action that a second person approves."""
        if self.by_hand and any(said):
            raise Forbidden("enter proof by hand with /verify, where a second person can agree: leave it out here")

    def must_state(self, level: Level) -> None:
        """Raises ``Forbidden`` for a level above the highest that the key may state."""
        if level > self.level:
            raise Forbidden(f"this key may not state {level}: it may state {self.level} at most")


ANYTHING = Grant("L3", powers=frozenset(Power), by_hand=True)
"""Bounds of a key of another role, which says what it may do."""


def _listed(words: Iterable[str]) -> str:
    return " and ".join(words)
