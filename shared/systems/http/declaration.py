"""What a system with an HTTP interface is asked, declared in one TOML file: data, not code.

A *resource* is a kind of record: how it is found, whose it is, what of it is shown, how it is erased and looked at
again. Every request says what counts as ``done``, ``not_found`` and ``refused``; any other answer fails by name.
"""

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path as File
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from shared.domain.identities import IdentityType
from shared.domain.toml_file import read_toml
from shared.systems.engine.claims import OWN
from shared.systems.http.paths import AnyPath, Path, Refusal
from shared.systems.http.requests import (
    ApiKey,
    Basic,
    Bearer,
    ByHand,
    Conditions,
    Declared,
    Find,
    Job,
    Listing,
    Look,
    Rate,
    Request,
    Step,
)

_NAME = r"^[a-z][a-z0-9_]{0,40}$"
FIELD = re.compile(r"[a-z][A-Za-z0-9_]{0,40}")
"""What a field of a record may be called."""
OF_THE_TASK = frozenset({"task_id", "id", "ids", "job", "asserted", "current"})
SHOWN = frozenset({"A", "M", "C"})
"""The classes of fields that a subject is shown."""
CHANGES = ("restrict", "lift", "suppress")
"""The lists of steps of a resource that change a record in place and keep it."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, dict) else value


class Correction(Declared):
    """How one field of a record is corrected, and the path where the corrected value must be read afterwards."""

    path: Path
    steps: tuple[Step, ...] = Field(min_length=1)


class Change(Declared):
    """How a record is restricted, lifted or kept out of marketing, and by which condition that is seen in it."""

    steps: tuple[Step, ...] = Field(min_length=1)
    seen: Conditions = Field(min_length=1)


class Resource(Declared):
    """One kind of record; ``find``: one search, or several where one of them alone brings not all.

    ``owner``: paths of a record, each with the identity type that must be the subject's there, or the field of what it
    lies below (``user.id``) that must be equal; all must agree, but one that it ``yields`` of a type of which none is
    known for certain. ``yields``: further identities of the subject.
    Where an account is the id of a record, it is the record of that account itself; of any other it is only named.
    ``everybody``: how all of its records are listed, whoever they are of: each night those without the mark of
    ``suppress`` are compared with the list of those who get no marketing.
    ``by_hand``: what a person does where the interface cannot erase; they look again by ``verify`` when they have.
    ``fields``: class of each field, as in a dataset (A, B, C, M, T); ``explain``: what those that are shown mean, for
    whoever gets a copy. ``read``: one record by its id, which stands at ``read_record`` of the answer.
    """

    category: str = Field(pattern=_NAME)
    of: str | None = None
    find: Annotated[
        tuple[Find, ...],
        BeforeValidator(_listed, json_schema_input_type=Find | tuple[Find, ...]),
        Field(min_length=1),
    ]
    everybody: Listing | None = None
    owner: Mapping[AnyPath, str] = Field(min_length=1)
    yields: Mapping[Path, IdentityType] = {}
    fields: Mapping[str, Literal["A", "B", "C", "M", "T"]] = {}
    explain: Mapping[str, str] = {}
    portable: bool = True
    read: Request | None = None
    read_record: Path | None = None
    refuse_when: tuple[Refusal, ...] = ()
    erase: tuple[Step, ...] = ()
    by_hand: tuple[ByHand, ...] = ()
    verify: Look | None = None
    rectify: Mapping[str, Correction] = {}
    restrict: Change | None = None
    lift: Change | None = None
    suppress: Change | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        wrong = [*self._lacks()]
        if self.everybody is not None and (self.suppress is None or self.of is not None):
            wrong.append("everybody is for a resource by itself with suppress, whose seen tells who is mailed")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _lacks(self) -> Iterator[str]:
        if any((self.of is None) != bool(each.by) for each in self.find):
            yield "find a resource by identities (find.by), or below another one (of), and not both"
        if len({each.id for each in self.find}) > 1:
            yield "every search of a resource must bring the same id"
        if self.erase and self.by_hand:
            yield "erase is what the interface does and by_hand what a person does: leave one out"
        if self.by_hand and (self.by_hand[-1].when or not all(each.when for each in self.by_hand[:-1])):
            yield "by_hand: each but the last says when it is told, the last, without when, of the rest"
        if bool(self.erase or self.by_hand) != (self.verify is not None):
            yield "erase needs verify: what was sent is not yet erased"
        if self.read is None and (self.rectify or any(getattr(self, each) for each in CHANGES)):
            yield "rectify, restrict, lift and suppress need read: what was changed is looked at again"
        if strange := sorted(self.explain.keys() - self.shown):
            yield f"explain.{strange[0]} is no field of class A, C or M, so nobody is shown it"
        for path, whose in self.owner.items():
            if whose not in set(IdentityType) and (self.of is None or "." not in whose):
                kinds = ", ".join(IdentityType)
                yield f"owner.{path}: {whose!r} is no identity type ({kinds}) and no field of the parent"

    @property
    def shown(self) -> frozenset[str]:
        """The fields that its subject is shown."""
        return frozenset(name for name, kind in self.fields.items() if kind in SHOWN)

    @property
    def tells(self) -> frozenset[str]:
        """The types of identity that stand in its records, of whom they are about."""
        return frozenset(IdentityType).intersection([*self.owner.values(), *self.yields.values()])

    @property
    def accounts_recorded(self) -> frozenset[str]:
        """The path of the account whose own record each is; empty where its records merely name one."""
        named = (*self.owner.items(), *self.yields.items())
        return frozenset(path for path, kind in named if kind == IdentityType.ACCOUNT_ID and path == self.id)

    @property
    def id(self) -> Path:
        """Where the id of a record stands."""
        return self.find[0].id

    @property
    def steps(self) -> Iterator[Step]:
        """Every step of it."""
        yield from self.erase
        for correction in self.rectify.values():
            yield from correction.steps
        for change in (self.restrict, self.lift, self.suppress):
            if change is not None:
                yield from change.steps


class Declaration(Declared):
    """One system: how it lets us in, how fast it may be asked, and its resources.

    ``busy``: answers after which it is asked again later, besides 429 and 503. ``check``: a harmless request.
    """

    auth: Annotated[Bearer | Basic | ApiKey, Field(discriminator="kind")]
    rate: tuple[Rate, ...] = ()
    busy: Conditions = ()
    check: Request
    resource: Mapping[Annotated[str, Field(pattern=_NAME)], Resource] = Field(min_length=1)
    job: Mapping[str, Job] = {}

    @model_validator(mode="after")
    def _refers_to_what_is_there(self) -> Self:
        if wrong := [*self._lost()] or [*self._unknown()]:
            raise ValueError("; ".join(wrong))
        return self

    def _lost(self) -> Iterator[str]:
        """What is wrong with how its resources lie below one another."""
        named = [(name, each.of) for name, each in self.resource.items() if each.of is not None]
        if lost := [f"resource.{name}: of names no resource: {of}" for name, of in named if of not in self.resource]:
            yield from lost
            return
        try:
            _ = self.order
        except CycleError:
            yield "resources lie below one another in a circle"

    def _unknown(self) -> Iterator[str]:
        """What its resources name and nobody knows there."""
        for name, resource in self.resource.items():
            yield from self._lacked_by_steps(name, resource)
            for path, whose in resource.owner.items():
                if whose not in set(IdentityType) and whose.partition(".")[0] not in self.above(name):
                    yield f"resource.{name}: owner.{path}: it lies below no {whose.partition('.')[0]}"
            for by_hand in resource.by_hand:
                yield from self._unknown_of(name, by_hand.names, {"id"}, "a person is told what to do")
            for find in resource.find:
                yield from self._unknown_in(name, find, {*find.by}, whole=True)
            if resource.everybody is not None:
                yield from self._unknown_in(name, resource.everybody, set(), whole=False)
            looks = resource.verify.ask if resource.verify else ()
            for request in (*resource.steps, *looks, *filter(None, [resource.read])):
                yield from self._unknown_in(name, request, {*IdentityType, *OF_THE_TASK}, whole=False)

    def _lacked_by_steps(self, name: str, resource: Resource) -> Iterator[str]:
        for step in resource.steps:
            if step.job is not None and step.job not in self.job:
                yield f"resource.{name}: no job is called {step.job}"
            if step.batch > 1 and "ids" not in step.names:
                yield f"resource.{name}: a step for {step.batch} records at a time must name {{ids}}"

    def _unknown_in(self, name: str, request: Request, known: set[str], *, whole: bool) -> Iterator[str]:
        """The names that nobody knows there; of what lies above, a search knows all, and a step the id alone."""
        yield from self._unknown_of(name, request.names, known, f"{request.path} is asked", whole=whole)

    def _unknown_of(
        self, name: str, used: set[str], known: set[str], where: str, *, whole: bool = False
    ) -> Iterator[str]:
        above = {each: self.resource[each].id for each in self.above(name)}
        for each in sorted(used - known):
            parent, _, path = each.partition(".")
            if parent not in above or not (whole or path == above[parent]):
                yield f"resource.{name}: {{{each}}} is known to nobody where {where}"

    def above(self, name: str) -> tuple[str, ...]:
        """A resource's ancestors, the nearest first."""
        parent = self.resource[name].of
        return () if parent is None else (parent, *self.above(parent))

    @property
    def order(self) -> tuple[str, ...]:
        """The resources, each after the one that it lies below."""
        below = {name: {each.of} if each.of else set[str]() for name, each in self.resource.items()}
        return tuple(TopologicalSorter(below).static_order())

    @property
    def never_told_apart(self) -> tuple[str, ...]:
        """The resources filed by an account alone, where no record of it bears something of a person's."""
        if any(each.accounts_recorded and each.tells & OWN for each in self.resource.values()):
            return ()
        found = {name: self._found_by(name) for name in self.resource}
        return tuple(name for name, by in found.items() if IdentityType.ACCOUNT_ID in by and not by & OWN)

    def _found_by(self, name: str) -> frozenset[str]:
        """The types of identity by which its records are found, or that they tell, and what they lie below does."""
        each = self.resource[name]
        above = frozenset[str]() if each.of is None else self._found_by(each.of)
        return above.union(each.tells, *(find.by for find in each.find))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The environment variables that it names."""
        return tuple(value for key, value in self.auth if key.endswith("_env"))

    @property
    def searched_by(self) -> frozenset[IdentityType]:
        """Whatever any of its resources is searched by."""
        return frozenset(kind for each in self.resource.values() for find in each.find for kind in find.by)

    @property
    def yields(self) -> frozenset[IdentityType]:
        """Whatever any of its records tells of whom it is about."""
        return frozenset(kind for each in self.resource.values() for kind in each.yields.values())


def read_declaration(path: File) -> Declaration:
    """The declaration in that file; raises ``Misconfigured`` naming every wrong key."""
    return read_toml(path, Declaration)
