"""Declares the requests of a system with an HTTP API, in one TOML file without code.

A *resource* is a kind of record: how it is found, who owns it, which fields are shown, how it is erased and verified.
Each request is one method and path, with the answers that count as ``done`` and ``not_found``; any other answer fails
by name.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter
from pathlib import Path as File
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from shared.domain.identities import IdentityType
from shared.domain.toml_file import read_toml
from shared.systems.engine.account_claims import PERSONAL_TYPES
from shared.systems.http.paths import AnyPath, Condition, Path, Refusal, names_in

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_VARIABLE = re.compile(r"\{([A-Z][A-Z0-9_]*)\}")
_DURATION = re.compile(r"(\d{1,6})([smhd])")


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value)
    if match is None:
        raise ValueError("write a number and s, m, h or d, as 30s")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _template(value: JsonValue) -> JsonValue:
    names_in(value)
    return value


def _address(value: str) -> str:
    if not value.startswith("/") or "?" in value or "#" in value:
        raise ValueError("begin with /, and write what comes after ? under query")
    names_in(value)
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration, json_schema_input_type=str)]
"""A duration, as ``30s``, ``5m``, ``1h``, ``30d``."""
Address = Annotated[str, AfterValidator(_address)]
Text = Annotated[str, AfterValidator(_template)]
Body = Annotated[JsonValue, AfterValidator(_template)]
Conditions = tuple[Condition, ...]


class StrictTable(BaseModel):
    """A table that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Request(StrictTable):
    """One request: a method with its path, and the meaning of its answers.

    A 2xx answer is a success, and so is one that meets a condition of ``done`` (404 for a record already gone).
    ``permission``: the vendor's name of the right that is missing when it answers 403.
    """

    get: Address | None = None
    post: Address | None = None
    put: Address | None = None
    patch: Address | None = None
    delete: Address | None = None
    query: Mapping[str, Text] = {}
    body: Body = None
    form: Mapping[str, Text] = {}
    done: Conditions = ()
    not_found: Conditions = ()
    permission: str | None = None

    @model_validator(mode="after")
    def _one_method(self) -> Self:
        if sum(getattr(self, each) is not None for each in ("get", "post", "put", "patch", "delete")) != 1:
            raise ValueError('give the method and path of the request once, as get = "/users/{id}"')
        if self.body is not None and self.form:
            raise ValueError("body is sent as JSON and form as a form: leave one out")
        return self

    @property
    def method(self) -> str:
        """The method in capital letters."""
        return next(each for each in ("get", "post", "put", "patch", "delete") if getattr(self, each)).upper()

    @property
    def path(self) -> str:
        """The template of the path."""
        return str(getattr(self, self.method.lower()))

    @property
    def names(self) -> set[str]:
        """The names that its templates use."""
        return names_in([self.path, dict(self.query), self.body, dict(self.form)])


class Pages(StrictTable):
    """Requests the next page.

    - ``page``: ``parameter`` counts from 1. ``last_id``: ``parameter`` is the ID of the last record. Both end where
      ``more`` is false; without ``more`` they end with an empty page, or by ``end = "short"`` with one of fewer than
      ``size`` records. Use ``short`` only if the system always fills a page
    - ``cursor``: the value at ``next`` goes into ``parameter``. ``link``: ``next`` is the address of the next page; its
      path and query are used. Both end where the value is missing or null, or ``more`` is false
    - ``of_body``: parameters are fields of the body

    A page of more than ``size`` records is an error.
    """

    kind: Literal["page", "last_id", "cursor", "link"]
    of_body: bool = False
    size: int = Field(ge=1, le=10_000)
    parameter: str | None = None
    next: Path | None = None
    more: Path | None = None
    end: Literal["short", "empty"] = "empty"

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        led = self.kind in {"cursor", "link"}
        if self.kind != "link" and self.parameter is None:
            raise ValueError(f"{self.kind} needs parameter: the name under which the next page is asked for")
        if "end" in self.model_fields_set and (led or self.more is not None):
            raise ValueError("end is for pages that are counted and do not say whether there are more: leave it out")
        if self.of_body and self.kind == "link":
            raise ValueError("a link is no field of a body: leave of_body out")
        if led and self.next is None:
            raise ValueError(f"{self.kind} needs next: where the answer says how to go on")
        return self


class ReadRequest(Request):
    """Reads a record; ``records``: its path in the answer, if it is not the whole answer."""

    records: Path | None = None


class Listing(ReadRequest):
    """Lists records page by page.

    ``records``: their path in the answer; by default the answer is the list. A single object is one record.
    """

    id: Path = "id"
    pages: Pages | None = None


class FindRequest(Listing):
    """Searches records: by each identity of the types in ``by``, or once for each record of the parent.

    ``foreign``: if the search also returns records of others, ``refuse`` all records, or ``count`` theirs where others
    write in the subject's records.
    """

    by: frozenset[IdentityType] = frozenset()
    foreign: Literal["refuse", "count"] = "refuse"


class ChangeStep(Request):
    """One request of a change; ``batch``: records in one request; ``job``: the job to follow to its end."""

    batch: int = Field(default=1, ge=1, le=1000)
    job: str | None = None
    idempotency: str | None = Field(default=None, description="header that carries a key, the same at each repeat")


class ManualStep(StrictTable):
    """Describes what a person does with a record that the API cannot erase: a command, or words.

    ``when``: conditions of the record. ``each``: the text for one record; ``{each}`` in ``do`` stands for up to a
    hundred of them, joined by ``between``. Without ``each``, ``do`` is repeated for each record. Templates name IDs
    only, so that a command never contains text from a record.
    """

    when: Conditions = ()
    do: Text = Field(min_length=1)
    each: Text | None = None
    between: str = ","

    @model_validator(mode="after")
    def _says_where_each_stands(self) -> Self:
        if ("each" in names_in(self.do)) != (self.each is not None):
            raise ValueError("each is what stands for a record at {each} of do: give both, or neither")
        if self.each is not None and names_in(self.do) != {"each"}:
            raise ValueError("do is about many records: name {each} in it, and ids in each alone")
        return self

    @property
    def names(self) -> set[str]:
        """The names that its templates use, without ``each``."""
        return names_in([self.do, self.each]) - {"each"}


class VerifyRequest(Request):
    """One request that verifies an erasure, and the answers that show the record as gone.

    ``batch``: records in one request; then ``shown`` is the path of the ids that are still there, as ``tickets.*.id``.
    """

    gone: Conditions = Field(min_length=1)
    batch: int = Field(default=1, ge=1, le=1000)
    shown: AnyPath | None = None

    @model_validator(mode="after")
    def _tells_one_from_the_others(self) -> Self:
        if (self.batch > 1) != (self.shown is not None):
            raise ValueError("shown is where the ids of what is still there stand: give it with batch, and only then")
        return self


class Verification(StrictTable):
    """Verifies an erasure: by every request of ``ask`` for each record, and by ``search`` with the identities.

    A search alone proves nothing: records below an erased record are not found any more.

    ``settle``: time between two looks. ``within``: after this time a record that is still there was not erased.
    """

    ask: tuple[VerifyRequest, ...] = Field(min_length=1)
    search: bool = False
    settle: Duration = timedelta(seconds=5)
    within: Duration = timedelta(minutes=5)


class Job(StrictTable):
    """Follows a job of the system by its states.

    ``run``: the request that continues a job in state ``ready``. A state that is not listed counts as pending.
    """

    id: Path
    status: Request
    state: Path
    ready: tuple[str, ...] = ()
    run: Request | None = None
    done: tuple[str, ...] = Field(min_length=1)
    failed: tuple[str, ...] = ()
    every: Duration = timedelta(seconds=5)
    within: Duration = timedelta(hours=1)


class RateLimit(StrictTable):
    """Limits the calls to a system; ``match``: method and beginning of the paths; by default all paths."""

    match: str = ""
    calls: int = Field(ge=1, le=1_000_000)
    per: Duration = timedelta(minutes=1)


class Auth(StrictTable):
    """The header that authenticates; ``{NAME}`` in its value is taken from the environment.

    ``basic``: the value is ``user:password``, sent by HTTP Basic.
    """

    header: str = "Authorization"
    value: str = Field(min_length=1)
    basic: bool = False

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of the environment variables."""
        return tuple(_VARIABLE.findall(self.value))

    def headers(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Returns the header with values of the environment."""
        value = _VARIABLE.sub(lambda found: environment[found[1]], self.value)
        return {self.header: f"Basic {b64encode(value.encode()).decode()}" if self.basic else value}


# What is declared of a system.

_NAME = r"^[a-z][a-z0-9_]{0,40}$"
FIELD = re.compile(r"[a-z][A-Za-z0-9_]{0,40}")
"""The form of a field name."""
OF_THE_TASK = frozenset({"task_id", "id", "ids", "job", "asserted", "current"})
SHOWN = frozenset({"A", "M", "C"})
"""The classes of fields that the subject sees."""
CHANGES = ("restrict", "lift", "suppress")
"""Changes that keep the record."""


def _as_list(value: object) -> object:
    return [value] if isinstance(value, dict) else value


class CorrectionSteps(StrictTable):
    """Corrects a field; ``path``: where the new value must be read afterwards."""

    path: Path
    steps: tuple[ChangeStep, ...] = Field(min_length=1)


class ChangeSteps(StrictTable):
    """Restricts, lifts or suppresses a record; ``seen``: the condition that shows it."""

    steps: tuple[ChangeStep, ...] = Field(min_length=1)
    seen: Conditions = Field(min_length=1)


class Resource(StrictTable):
    """One kind of record; ``find``: one search, or several if one does not find all records.

    ``owner``: paths in a record, each with the identity type of the subject that it must hold, or the field of a record
    above (``user.id``) that it must equal. All must agree. An exception is a path that it also ``yields``, of a type of
    which no identity is known for certain. ``yields``: further identities of the subject. A record whose id is an
    account is the record of that account; any other account is only named.
    ``everybody``: lists all records: each night those without the mark of ``suppress`` are compared with the
    suppression list.
    ``by_hand``: what a person does where the API cannot erase; afterwards ``verify`` looks again.
    ``fields``: the class of each field, as in a dataset (A, B, C, M, T). ``explain``: the meaning of shown fields, for
    the reader of a copy. ``read``: reads one record by its id.
    """

    category: str = Field(pattern=_NAME)
    of: str | None = None
    find: Annotated[
        tuple[FindRequest, ...],
        BeforeValidator(_as_list, json_schema_input_type=FindRequest | tuple[FindRequest, ...]),
        Field(min_length=1),
    ]
    everybody: Listing | None = None
    owner: Mapping[AnyPath, str] = Field(min_length=1)
    yields: Mapping[Path, IdentityType] = {}
    fields: Mapping[str, Literal["A", "B", "C", "M", "T"]] = {}
    explain: Mapping[str, str] = {}
    read: ReadRequest | None = None
    refuse_when: tuple[Refusal, ...] = ()
    erase: tuple[ChangeStep, ...] = ()
    by_hand: tuple[ManualStep, ...] = ()
    verify: Verification | None = None
    rectify: Mapping[str, CorrectionSteps] = {}
    restrict: ChangeSteps | None = None
    lift: ChangeSteps | None = None
    suppress: ChangeSteps | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        wrong = [*self._lacks()]
        if self.everybody is not None and (self.suppress is None or self.of is not None):
            wrong.append("everybody needs a resource without a parent, and suppress with seen")
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
            yield "by_hand: every entry needs a when but the last, which applies to the rest"
        if bool(self.erase or self.by_hand) != (self.verify is not None):
            yield "erase needs verify: what was sent is not yet erased"
        if self.read is None and (self.rectify or any(getattr(self, each) for each in CHANGES)):
            yield "rectify, restrict, lift and suppress need read: what was changed is looked at again"
        if strange := sorted(self.explain.keys() - self.shown):
            yield f"explain.{strange[0]} is no field of class A, C or M, so it is never shown"
        for path, whose in self.owner.items():
            if whose not in set(IdentityType) and (self.of is None or "." not in whose):
                kinds = ", ".join(IdentityType)
                yield f"owner.{path}: {whose!r} is no identity type ({kinds}) and no field of the parent"

    @property
    def shown(self) -> frozenset[str]:
        """Fields that the subject sees."""
        return frozenset(name for name, kind in self.fields.items() if kind in SHOWN)

    @property
    def tells(self) -> frozenset[str]:
        """Types of identity in its records."""
        return frozenset(IdentityType).intersection([*self.owner.values(), *self.yields.values()])

    @property
    def accounts_recorded(self) -> frozenset[str]:
        """The path of the account whose own record it is; empty where records only name an account."""
        named = (*self.owner.items(), *self.yields.items())
        return frozenset(path for path, kind in named if kind == IdentityType.ACCOUNT_ID and path == self.id)

    @property
    def id(self) -> Path:
        """The path of the id of a record."""
        return self.find[0].id

    @property
    def steps(self) -> Iterator[ChangeStep]:
        """Yields every step."""
        yield from self.erase
        for correction in self.rectify.values():
            yield from correction.steps
        for change in (self.restrict, self.lift, self.suppress):
            if change is not None:
                yield from change.steps


class Declaration(StrictTable):
    """One system: authentication, rate limits and resources.

    ``busy``: answers that mean "later", in addition to 429 and 503. ``check``: a harmless request.
    """

    auth: Auth
    rate: tuple[RateLimit, ...] = ()
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
        """Yields faults in the order of the resources."""
        named = [(name, each.of) for name, each in self.resource.items() if each.of is not None]
        if lost := [f"resource.{name}: of names no resource: {of}" for name, of in named if of not in self.resource]:
            yield from lost
            return
        try:
            _ = self.order
        except CycleError:
            yield "resources lie below one another in a circle"

    def _unknown(self) -> Iterator[str]:
        """Yields names that are unknown where they are used."""
        for name, resource in self.resource.items():
            looks = resource.verify.ask if resource.verify else ()
            yield from self._lacked_by_steps(name, resource, looks)
            for path, whose in resource.owner.items():
                if whose not in set(IdentityType) and whose.partition(".")[0] not in self.above(name):
                    yield f"resource.{name}: owner.{path}: it lies below no {whose.partition('.')[0]}"
            for by_hand in resource.by_hand:
                yield from self._unknown_of(name, by_hand.names, {"id"}, "a manual step is described")
            for find in resource.find:
                yield from self._unknown_in(name, find, {*find.by}, whole=True)
            if resource.everybody is not None:
                yield from self._unknown_in(name, resource.everybody, set(), whole=False)
            for request in (*resource.steps, *looks, *filter(None, [resource.read])):
                yield from self._unknown_in(name, request, {*IdentityType, *OF_THE_TASK}, whole=False)

    def _lacked_by_steps(self, name: str, resource: Resource, looks: Sequence[VerifyRequest]) -> Iterator[str]:
        for step in resource.steps:
            if step.job is not None and step.job not in self.job:
                yield f"resource.{name}: no job is called {step.job}"
        requests: list[ChangeStep | VerifyRequest] = [*resource.steps, *looks]
        for request in (each for each in requests if each.batch > 1):
            many = f"resource.{name}: a request for {request.batch} records at a time"
            if "ids" not in request.names:
                yield f"{many} must name {{ids}}"
            for other in sorted(request.names - {"ids", "task_id"}):
                yield f"{many} can name no {{{other}}}: they may belong to several people"

    def _unknown_in(self, name: str, request: Request, known: set[str], *, whole: bool) -> Iterator[str]:
        """Yields unknown names of a request; a search knows all fields of records above, and a step only their ids."""
        yield from self._unknown_of(name, request.names, known, f"{request.path} is asked", whole=whole)

    def _unknown_of(
        self, name: str, used: set[str], known: set[str], where: str, *, whole: bool = False
    ) -> Iterator[str]:
        above = {each: self.resource[each].id for each in self.above(name)}
        for each in sorted(used - known):
            parent, _, path = each.partition(".")
            if parent not in above or not (whole or path == above[parent]):
                yield f"resource.{name}: {{{each}}} is unknown where {where}"

    def above(self, name: str) -> tuple[str, ...]:
        """Returns the resources above, the nearest first."""
        parent = self.resource[name].of
        return () if parent is None else (parent, *self.above(parent))

    @property
    def order(self) -> tuple[str, ...]:
        """The resources, each after the one above it."""
        below = {name: {each.of} if each.of else set[str]() for name, each in self.resource.items()}
        return tuple(TopologicalSorter(below).static_order())

    @property
    def unconfirmed_accounts(self) -> tuple[str, ...]:
        """Resources found only by an account whose own record bears no identity of a person."""
        if any(each.accounts_recorded and each.tells & PERSONAL_TYPES for each in self.resource.values()):
            return ()
        found = {name: self._found_by(name) for name in self.resource}
        return tuple(name for name, by in found.items() if IdentityType.ACCOUNT_ID in by and not by & PERSONAL_TYPES)

    def _found_by(self, name: str) -> frozenset[str]:
        """Returns the types of identity that find its records or stand in them or in those above."""
        each = self.resource[name]
        above = frozenset[str]() if each.of is None else self._found_by(each.of)
        return above.union(each.tells, *(find.by for find in each.find))

    @property
    def searched_by(self) -> frozenset[IdentityType]:
        """Types of identity that the resources are searched by."""
        return frozenset(kind for each in self.resource.values() for find in each.find for kind in find.by)

    @property
    def yields(self) -> frozenset[IdentityType]:
        """Types of identity that the records yield."""
        return frozenset(kind for each in self.resource.values() for kind in each.yields.values())


def read_declaration(path: File) -> Declaration:
    """Reads a declaration; raises ``Misconfigured`` naming every wrong key."""
    return read_toml(path, Declaration)
