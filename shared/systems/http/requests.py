"""The requests that a declaration is made of: one method and path, and what its answers mean; pure data."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from shared.domain.identities import IdentityType
from shared.systems.http.paths import AnyPath, Condition, Path
from shared.systems.http.templates import names_in

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
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


class Listing(Request):
    """How records are listed, page by page.

    ``records``: where they stand in the answer, itself a list if left out; a single object is one record.
    """

    records: Path | None = None
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
    """How it is looked at again: every request of ``ask`` for each record, ``search`` anew by the identities, or both.

    ``settle``: how long between two looks, ``within``: after which time what is still there was not erased.
    """

    ask: tuple[LookAt, ...] = ()
    search: bool = False
    settle: Span = timedelta(seconds=5)
    within: Span = timedelta(minutes=5)

    @model_validator(mode="after")
    def _looks(self) -> Self:
        if not self.ask and not self.search:
            raise ValueError("give a request to ask, or search = true: what was sent is not yet erased")
        return self


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


class Bearer(Declared):
    """``Authorization: Bearer``."""

    kind: Literal["bearer"]
    token_env: str


class Basic(Declared):
    """``Authorization: Basic``; ``suffix`` is put after the user, as ``/token``."""

    kind: Literal["basic"]
    user_env: str
    password_env: str
    suffix: str = ""


class ApiKey(Declared):
    """A key in a header of its own; ``prefix`` is put before it, as in ``token …``."""

    kind: Literal["api_key"]
    header: str
    key_env: str
    prefix: str = ""
