"""What a system with an HTTP interface is asked, declared in one TOML file: data, not code.

A *resource* is a kind of record: how it is found, whose it is, what of it is shown, how it is erased and looked at
again. Every request is one method and path, and says what counts as ``done``, ``not_found`` and ``refused``; any other
answer fails by name.
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
from shared.systems.engine.claims import OWN
from shared.systems.http.paths import AnyPath, Condition, Path, Refusal, names_in

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_VARIABLE = re.compile(r"\{([A-Z][A-Z0-9_]*)\}")
_DURATION = re.compile(r"(\d{1,6})([smhd])")


def _span(value: object) -> object:
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


Span = Annotated[timedelta, BeforeValidator(_span, json_schema_input_type=str)]
"""A time, as ``30s``, ``5m``, ``1h``, ``30d``."""
Address = Annotated[str, AfterValidator(_address)]
Text = Annotated[str, AfterValidator(_template)]
Body = Annotated[JsonValue, AfterValidator(_template)]
Conditions = tuple[Condition, ...]


class Declared(BaseModel):
    """A table of which every key is known."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Request(Declared):
    """One request: a method with its path, and what its answers mean.

    A 2xx answer is a success, and so is whatever fulfils a condition of ``done`` (404 for what is gone already).
    ``permission``: what the vendor calls the right that a 403 says is missing.
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
        """In capital letters."""
        return next(each for each in ("get", "post", "put", "patch", "delete") if getattr(self, each)).upper()

    @property
    def path(self) -> str:
        """Its template."""
        return str(getattr(self, self.method.lower()))

    @property
    def names(self) -> set[str]:
        """The names that its templates use."""
        return names_in([self.path, dict(self.query), self.body, dict(self.form)])


class Pages(Declared):
    """How the next page is asked for. Where pages end is judged by the page as it came, before anything is left out.

    ``page``: ``parameter`` counts from 1; ``last_id``: the id of the last record of a page goes there. They end where
    ``more`` is false, or without it with an empty page, or with ``end = "short"`` with one of fewer than ``size``
    records: only where ``size`` is certainly what the system gives. ``cursor``: what ``next`` leads to goes into
    ``parameter``. ``link``: ``next`` leads to the address of the next page, of which path and query are used. Nothing,
    or null, or ``more`` false, ends them. ``of_body``: parameters are fields of the body. A page of more than ``size``
    records is an error.
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


class Read(Request):
    """How a record is read; ``records``: where it stands in the answer, if it is not all of that."""

    records: Path | None = None


class Listing(Read):
    """How records are listed, page by page.

    ``records``: where they stand in the answer, itself a list if left out; a single object is one record.
    """

    id: Path = "id"
    pages: Pages | None = None


class Find(Listing):
    """How records are searched: by each identity of the types in ``by``, or once for each record of the parent.

    ``foreign``: what is done where the search brings records of others too: ``refuse`` them all, or ``count`` those,
    where others have written in what is the subject's.
    """

    by: frozenset[IdentityType] = frozenset()
    foreign: Literal["refuse", "count"] = "refuse"


class Step(Request):
    """One request of a change; with ``batch`` one for so many records at a time, with ``job`` followed to its end."""

    batch: int = Field(default=1, ge=1, le=1000)
    job: str | None = None
    idempotency: str | None = Field(default=None, description="header that carries a key, the same at each repeat")


class ByHand(Declared):
    """What a person does there about a record that the interface cannot erase: a command, or words.

    ``when``: of which records. ``each``: what stands for a record at ``{each}``, up to a hundred of them, ``between``
    two of which that is put; without it ``do`` is told of each by itself. Ids alone can be named: a command holds
    nothing that somebody else has written.
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
        """The names that its templates use, besides that of its own."""
        return names_in([self.do, self.each]) - {"each"}


class LookAt(Request):
    """One request by which a record is looked at again, and what its answer must be where the record is gone.

    ``batch``: at so many at a time; then ``shown`` is where the ids of those stand that are still there, as
    ``tickets.*.id``, so that one that stays does not keep the others.
    """

    gone: Conditions = Field(min_length=1)
    batch: int = Field(default=1, ge=1, le=1000)
    shown: AnyPath | None = None

    @model_validator(mode="after")
    def _tells_one_from_the_others(self) -> Self:
        if (self.batch > 1) != (self.shown is not None):
            raise ValueError("shown is where the ids of what is still there stand: give it with batch, and only then")
        return self


class Look(Declared):
    """How it is looked at again: every request of ``ask`` for each record, and a ``search`` by the identities too.

    A search alone is no proof: what lies below an erased record is not found by it any more.

    ``settle``: how long between two looks, ``within``: after which time what is still there was not erased.
    """

    ask: tuple[LookAt, ...] = Field(min_length=1)
    search: bool = False
    settle: Span = timedelta(seconds=5)
    within: Span = timedelta(minutes=5)


class Job(Declared):
    """Work that a system does in its own time: how it is followed, by the states that it names.

    ``run``: the request that it waits for when it is ``ready``. A state that is not listed is waited for as pending.
    """

    id: Path
    status: Request
    state: Path
    ready: tuple[str, ...] = ()
    run: Request | None = None
    done: tuple[str, ...] = Field(min_length=1)
    failed: tuple[str, ...] = ()
    every: Span = timedelta(seconds=5)
    within: Span = timedelta(hours=1)


class Rate(Declared):
    """How many calls a system allows; ``match``: to paths that begin so, with that method before them, or to all."""

    match: str = ""
    calls: int = Field(ge=1, le=1_000_000)
    per: Span = timedelta(minutes=1)


class Auth(Declared):
    """A header by which the system lets us in; ``{NAME}`` in its value is taken from the environment.

    ``basic``: the value is user and password with a colon between them, and sent as HTTP Basic has it.
    """

    header: str = "Authorization"
    value: str = Field(min_length=1)
    basic: bool = False

    @property
    def secrets(self) -> tuple[str, ...]:
        """The environment variables that it names."""
        return tuple(_VARIABLE.findall(self.value))

    def headers(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The header, with what the environment holds."""
        value = _VARIABLE.sub(lambda found: environment[found[1]], self.value)
        return {self.header: f"Basic {b64encode(value.encode()).decode()}" if self.basic else value}


# What is declared of a system.

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
    whoever gets a copy. ``read``: one record by its id.
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
    read: Read | None = None
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

    auth: Auth
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
            looks = resource.verify.ask if resource.verify else ()
            yield from self._lacked_by_steps(name, resource, looks)
            for path, whose in resource.owner.items():
                if whose not in set(IdentityType) and whose.partition(".")[0] not in self.above(name):
                    yield f"resource.{name}: owner.{path}: it lies below no {whose.partition('.')[0]}"
            for by_hand in resource.by_hand:
                yield from self._unknown_of(name, by_hand.names, {"id"}, "a person is told what to do")
            for find in resource.find:
                yield from self._unknown_in(name, find, {*find.by}, whole=True)
            if resource.everybody is not None:
                yield from self._unknown_in(name, resource.everybody, set(), whole=False)
            for request in (*resource.steps, *looks, *filter(None, [resource.read])):
                yield from self._unknown_in(name, request, {*IdentityType, *OF_THE_TASK}, whole=False)

    def _lacked_by_steps(self, name: str, resource: Resource, looks: Sequence[LookAt]) -> Iterator[str]:
        for step in resource.steps:
            if step.job is not None and step.job not in self.job:
                yield f"resource.{name}: no job is called {step.job}"
        requests: list[Step | LookAt] = [*resource.steps, *looks]
        for request in (each for each in requests if each.batch > 1):
            many = f"resource.{name}: a request for {request.batch} records at a time"
            if "ids" not in request.names:
                yield f"{many} must name {{ids}}"
            for other in sorted(request.names - {"ids", "task_id"}):
                yield f"{many} can name no {{{other}}}: they may belong to several people"

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
