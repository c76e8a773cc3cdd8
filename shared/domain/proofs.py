"""Decides what is proved of a person, each identity to its own level (REQ-S1); pure.

The level needed depends on the data held and on the request; both are policy (``shared/policy/identity.toml``).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Operation
from shared.domain.rights import NOTHING, Level, Right
from shared.domain.toml_file import read_with_ours

POLICY = Path(__file__).parents[1] / "policy" / "identity.toml"

Word = Annotated[str, StringConstraints(pattern="^[a-z0-9_]{1,64}$")]
_CONTACT_POINTS = frozenset({IdentityType.EMAIL, IdentityType.PHONE})
_TWO: Final[Level] = "L2"
_ONE: Final[Level] = "L1"


class ProofAction(StrEnum):
    """Actions that need different levels."""

    ACCESS = "access"
    RECTIFICATION = "rectification"
    CONTACT_CHANGE = "contact_change"  # a rectification that changes who is reached
    ERASURE = "erasure"
    RESTRICTION = "restriction"
    PORTABILITY = "portability"
    MARKETING_OBJECTION = "marketing_objection"
    CONSENT_WITHDRAWAL = "consent_withdrawal"


def action_of(right: Right, changes: Iterable[Change] = (), *, restricts: bool = False) -> ProofAction:
    """Returns the action of a request; ``restricts``: an objection that restricts until it is weighed (Art. 21(1))."""
    match right:
        case Right.OBJECTION:
            return ProofAction.RESTRICTION if restricts else ProofAction.MARKETING_OBJECTION
        case Right.RECTIFICATION:
            asked = tuple(changes)
            if any(change.record for change in asked):  # only an access shows which records there are
                return ProofAction.ACCESS
            moves = any(change.field in _CONTACT_POINTS for change in asked)
            return ProofAction.CONTACT_CHANGE if moves else ProofAction.RECTIFICATION
        case _:
            return ProofAction(right.value)


def restricts(right: Right, operation: Operation) -> bool:
    """Returns whether an objection restricts the data, as its tasks show."""
    return right is Right.OBJECTION and operation in {Operation.RESTRICT, Operation.LIFT}


class Method(BaseModel):
    """A way to prove who one is: to which ``level`` at most, and of which identities.

    ``of_record``: it proves control of what is on file, so it proves less while that is not on file for long.
    ``together``: it proves by two contact points, so it proves as much as the register bears out. ``by_hand``: a person
    can observe it, so the privacy team may enter it; a channel may state any method.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Level
    proves: frozenset[IdentityType]
    of_record: bool = False
    together: bool = False
    by_hand: bool = False


class ProofPolicy(BaseModel):
    """The level that each category and action need, and the level that each method proves.

    ``categories``: the policy's name of each category of a system; unknown ones need the strictest level.
    """

    model_config = ConfigDict(frozen=True)

    on_file_days: Annotated[int, Field(ge=0, le=3650)]
    proof_days: Annotated[int, Field(ge=1, le=3650)]
    methods: Annotated[Mapping[Word, Method], Field(min_length=1)]
    categories: Annotated[Mapping[Word, frozenset[str]], Field(min_length=1)]
    required_level: Mapping[Word, Mapping[ProofAction, Level]]

    @model_validator(mode="after")
    def _says_it_of_every_category_and_action(self) -> Self:
        if unlike := self.required_level.keys() ^ self.categories.keys():
            raise ValueError(f"categories and required_level must name the same: {', '.join(sorted(unlike))}")
        for category, levels in self.required_level.items():
            if missing := set(ProofAction) - levels.keys():
                raise ValueError(f"required_level.{category} must give a level for {', '.join(sorted(missing))}")
        return self

    @model_validator(mode="after")
    def _counts_nothing_twice(self) -> Self:
        named = [name for names in self.categories.values() for name in names]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"categories has {', '.join(twice)} twice: it counts as one of them")
        return self

    @cached_property
    def version(self) -> str:
        """Another one where anything in it is other."""
        stated = orjson.dumps(self.model_dump(), option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=sorted)
        return sha256(stated).hexdigest()

    @cached_property
    def counts_as(self) -> Mapping[str, str]:
        """The category of the policy, by what systems call what they hold."""
        named = {name: category for category, names in self.categories.items() for name in names}
        return named | {category: category for category in self.categories}

    def unknown(self, names: Collection[str]) -> list[str]:
        """Returns the categories that the policy does not know."""
        return sorted(set(names) - self.counts_as.keys())

    def needed(self, names: Collection[str]) -> Mapping[ProofAction, Level]:
        """Returns the level that a request about these categories needs: the highest of them.

        Undeclared or unknown data need the strictest level.
        """
        known = [self.required_level[self.counts_as[each]] for each in names if each in self.counts_as]
        if not names or len(known) < len(set(names)):
            known = list(self.required_level.values())
        return {action: max(levels[action] for levels in known) for action in ProofAction}

    def least(self, action: ProofAction) -> Level:
        """The level with which a part of a request may begin."""
        return min(levels[action] for levels in self.required_level.values())


@cache
def proof_policy(overlay: Path | None = None) -> ProofPolicy:
    """The policy as shipped with the company's own in that folder over it; ``Misconfigured`` if it cannot be used."""
    return read_with_ours(POLICY, ProofPolicy, overlay)


def proved(identities: Iterable[Identity], least: Level) -> tuple[Identity, ...]:
    """Returns the identities that are proved to at least that level."""
    return tuple(identity for identity in identities if identity.level >= least)


def highest_level(identities: Iterable[Identity]) -> Level:
    """The level to which the best proved of these is proved."""
    return max((identity.level for identity in identities), default=NOTHING)


def two_contact_points(identities: Iterable[Identity]) -> bool:
    """Returns whether an e-mail address and a number are both proved; together they prove more."""
    return {i.type for i in proved(identities, _ONE)} >= _CONTACT_POINTS


def without_proof_of(identities: Iterable[Identity], wrong: Identity) -> tuple[Identity, ...]:
    """Returns the identities that are proved less well after a proof was found wrong, with their remaining level.

    An identity that was proved together with the wrong one counts as proved alone.
    """
    known = tuple(identities)
    same = [replace(each, level=NOTHING) for each in known if (each.type, each.value) == (wrong.type, wrong.value)]
    others = [
        replace(each, level=min(each.level, _ONE), together=False)
        for each in known
        if wrong.type in _CONTACT_POINTS and each.together and each.value != wrong.value
    ]
    return (*same, *others)


def proved_alone(identities: Iterable[Identity]) -> bool:
    """Returns whether the identity is proved without two contact points, such as by a second factor."""
    return any(not each.together for each in proved(identities, _TWO))


def raised(identity: Identity, most: Level, *, alone: bool) -> Identity:
    """Returns a contact point at the level of two proofs; ``most``: the highest level that may be stated.

    It counts as far as the register confirms it (``shared.domain.assignments``). ``alone``: the person is identified
    without it. Then a number counts from the proof on, whatever its history. An address leads to everything filed
    under it, so only its own proof raises it.
    """
    level = min(_TWO, most)
    if identity.type not in _CONTACT_POINTS or not _ONE <= identity.level < level:
        return identity
    return replace(identity, level=level, together=not (alone and identity.type is IdentityType.PHONE))


def as_stated(identities: Iterable[Identity]) -> tuple[Identity, ...]:
    """Returns the identities without their proofs."""
    return tuple(replace(each, level=NOTHING, together=False, proved_since=None) for each in identities)


def proves_the_same_person(known: Iterable[Identity], proofs: Iterable[Identity]) -> bool:
    """Whether identities proved together belong to the person who proved something before.

    ``known``: stated identities with their current levels, and identities yielded by systems. ``proofs``: identities
    proved together.

    True if nothing was proved before; if one of them was; or if a system knows one as the same person's and not as
    shared.
    """
    every = tuple(known)
    shared = {_key(each) for each in every if each.shared}
    proved_keys = {_key(each) for each in every if _is_theirs(each)} - shared
    proved_before = any(each.source == "requester" and each.level > NOTHING for each in every)
    proved_now = {_key(each) for each in proofs if each.level > NOTHING}
    return not proved_before or not proved_now or not proved_keys.isdisjoint(proved_now)


def _is_theirs(each: Identity) -> bool:
    """Whether an identity is proved, or was found by a proved one, and is current."""
    return each.level > NOTHING and (each.source == "requester" or (each.valid_to is None and not each.claimed))


def _key(each: Identity) -> tuple[str, str]:
    return each.type, each.value


class KeySuspensionPolicy(BaseModel):
    """The limit of erasures per API key and hour, above which the key is suspended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    erasures_per_hour: Annotated[int, Field(ge=1, le=1_000_000)]


class LinkPolicy(BaseModel):
    """The limits of verification by a link, or by a code to type instead (REQ-S5).

    ``method``: of the policy's methods the one by which they then have proved it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    hours: Annotated[int, Field(ge=1, le=720)]
    code_minutes: Annotated[int, Field(ge=1, le=60)]
    failures: Annotated[int, Field(ge=1, le=20)]
    per_hour: Annotated[int, Field(ge=1, le=100)]
    per_mailbox: Annotated[int, Field(ge=1, le=1000)]


class IdentityPolicy(ProofPolicy):
    """The level that each category and action need, the methods by which anybody may come to one, and limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_suspension: KeySuspensionPolicy
    links: LinkPolicy
