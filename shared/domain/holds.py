"""Matches legal holds with people, by keyed hashes, and with categories (Art. 17(3)(e)); pure."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.domain.identities import Identity, IdentityType
from shared.domain.precedence import Fingerprints
from shared.domain.toml_file import read_with_ours

LEGAL_HOLD: Final = "legal_hold"
"""The rule by which held data are kept."""

POLICY = Path(__file__).parents[1] / "policy" / "holds.toml"

Reason = Annotated[str, StringConstraints(pattern="^[A-Z_]{1,64}$")]


class HoldPolicy(BaseModel):
    """The allowed reasons of a hold with their texts, and the longest time without a review, in months."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    longest_months: Annotated[int, Field(ge=1, le=6)]
    reasons: Annotated[Mapping[Reason, Annotated[str, StringConstraints(min_length=1)]], Field(min_length=1)]


@cache
def hold_policy(overlay: Path | None = None) -> HoldPolicy:
    """The policy as shipped with the company's own in that folder over it; ``Misconfigured`` if it cannot be used."""
    return read_with_ours(POLICY, HoldPolicy, overlay)


@dataclass(frozen=True, slots=True)
class HoldMarks:
    """Keyed hashes of one person's identities, each with its type."""

    rows: frozenset[tuple[str, bytes]] = field(default_factory=frozenset)

    @classmethod
    def of(cls, keyring: Fingerprints, identities: Iterable[Identity]) -> Self:
        """Returns the marks of these identities; a name identifies no one."""
        known = (each for each in identities if each.type is not IdentityType.NAME)
        return cls(frozenset((each.type.value, keyring.fingerprint(each)) for each in known))

    @property
    def accounts(self) -> frozenset[bytes]:
        """Returns the marks of accounts."""
        return frozenset(mark for kind, mark in self.rows if kind == IdentityType.ACCOUNT_ID)

    def concerns(self, other: "HoldMarks") -> bool:
        """Whether both may be the same person: where both have accounts, one in common; else anything in common.

        In doubt it is the same: what is held too long can be erased later, and what is erased cannot be held.
        """
        if self.accounts and other.accounts:
            return not self.accounts.isdisjoint(other.accounts)
        return not self.rows.isdisjoint(other.rows)


@dataclass(frozen=True, slots=True)
class Hold:
    """The holds on one person's data, and the categories of the policy; ``everything``: all of them."""

    hold_ids: tuple[UUID, ...]
    categories: frozenset[str] = field(default_factory=frozenset)
    everything: bool = False

    def covers(self, categories: Collection[str], category_of: Callable[[str], str | None]) -> frozenset[str]:
        """Returns the categories of a system that must stay, including those unknown to the policy.

        ``category_of``: maps a system's category to the policy's.
        """
        if self.everything:
            return frozenset(categories)
        return frozenset(each for each in categories if category_of(each) in {None, *self.categories})
