"""Defines the operations of a system, their outcomes, and the report of a task."""

from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from itertools import zip_longest
from typing import Annotated, NamedTuple, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from shared.domain.rights import Level
from shared.domain.text import LINES, Word, nfc
from shared.domain.topics import ServiceName


class Operation(StrEnum):
    """The verbs of a task."""

    LOCATE = "locate"
    EXPORT = "export"
    ERASE = "erase"
    RECTIFY = "rectify"
    RESTRICT = "restrict"
    LIFT = "lift"
    SUPPRESS = "suppress"
    ESCALATE = "escalate"
    FLAG = "flag"
    PLAN = "plan"


NOTIFICATIONS = frozenset({Operation.ESCALATE, Operation.FLAG})
"""Operations that only notify people: their failure stops no request."""
PREPARING = frozenset({Operation.LOCATE, Operation.PLAN})
"""Operations that only search; they change nothing, and no answer mentions them."""
ANSWERING = frozenset({Operation.EXPORT, Operation.ERASE, Operation.RECTIFY, Operation.RESTRICT, Operation.SUPPRESS})
"""Operations that the answer follows from: a person decides about a task that could not search."""
OF_ONE_PERSON = frozenset(Operation) - NOTIFICATIONS - {Operation.SUPPRESS}
"""Operations on one person's data alone; marketing stops for the address itself."""
BY_HAND = ANSWERING | {Operation.LIFT}
"""Operations that a person does by hand where a system has no way to do them."""
FULFILLED_BY: Mapping[Operation, ServiceName] = {
    **dict.fromkeys((Operation.ERASE, Operation.PLAN), ServiceName.ERASURE),
    Operation.EXPORT: ServiceName.EXPORT,
    **dict.fromkeys((Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS), ServiceName.AMENDMENT),
}
"""The service that runs each operation."""


class TaskOutcome(StrEnum):
    """The verified result of a task.

    ``planned``: a preview of an erasure. ``not_searched``: no known identity can be searched there. ``not_held``: the
    system has no such field or switch. ``unchanged``: it holds the subject, but not the contested value.
    ``no_longer_held``: it is out of use, and two officers recorded what became of its data; it was not searched.
    """

    LOCATED = "located"
    EXPORTED = "exported"
    ERASED = "erased"
    AMENDED = "amended"
    ESCALATED = "escalated"
    PLANNED = "planned"
    NO_MATCH = "no_match"
    RETAINED = "retained"
    NOT_SEARCHED = "not_searched"
    NOT_HELD = "not_held"
    UNCHANGED = "unchanged"
    NO_LONGER_HELD = "no_longer_held"


class Unsearched(StrEnum):
    """Reasons why a system, or a part of it, could not be searched; different from finding nothing."""

    NOTHING_TO_SEARCH_BY = "nothing_to_search_by"
    NUMBER_WITHOUT_PERIOD = "number_without_period"
    NUMBER_NOT_VOUCHED_FOR = "number_not_vouched_for"
    NUMBER_IN_CONFLICT = "number_in_conflict"
    NUMBER_NARROWED = "number_narrowed"
    NUMBER_OF_ANOTHER_KIND = "number_of_another_kind"
    NO_ACCOUNT = "no_account"
    NO_IDENTIFIER = "no_identifier"
    LINE_SHARED = "line_shared"
    NOT_PROVED = "not_proved"
    SHARED_IDENTIFIER = "shared_identifier"
    NO_LONGER_THEIRS = "no_longer_theirs"

    @property
    def sentence(self) -> str:
        """Returns the explanation for the privacy team."""
        return _UNSEARCHED[self]


DONE_BY_HAND = frozenset({Unsearched.SHARED_IDENTIFIER, Unsearched.NO_LONGER_THEIRS, Unsearched.LINE_SHARED})
"""Reasons for which an officer can still identify the subject's data by hand."""

_UNSEARCHED: Mapping[Unsearched, str] = {
    Unsearched.NOTHING_TO_SEARCH_BY: "nothing that is known of the subject can be searched by there",
    Unsearched.NUMBER_WITHOUT_PERIOD: "it is not known from when to when a number was the subject's",
    Unsearched.NUMBER_NOT_VOUCHED_FOR: "the register of numbers does not show a number as the subject's at that time",
    Unsearched.NUMBER_IN_CONFLICT: "a system contradicts the register of numbers about whose a number was",
    Unsearched.NUMBER_NARROWED: "the register shows a number as the subject's for longer than they have said",
    Unsearched.NUMBER_OF_ANOTHER_KIND: "of numbers and SIP users it files by the kind that the subject is not known by",
    Unsearched.NO_ACCOUNT: "it is searched by an account id alone, and none of the subject's is known",
    Unsearched.NO_IDENTIFIER: "it is searched by identities, none of them a number, by which the subject is not known",
    Unsearched.SHARED_IDENTIFIER: (
        "it would be searched by an address or a number that other customers have too, or by an account that is theirs"
        " by nothing but a row that names it: do there by hand what is theirs alone, and enter what was done"
    ),
    Unsearched.NO_LONGER_THEIRS: (
        "it would be searched by an address or a number that was theirs until a day, and that another person may have"
        " since: do there by hand what is older than that, and enter what was done"
    ),
    Unsearched.LINE_SHARED: (
        "others use the subject's line as well, and no request touches calls that may be theirs: do there by hand what"
        " the subscriber may ask for, such as an itemised bill, and enter what was done"
    ),
    Unsearched.NOT_PROVED: "nothing that it is searched by is proved to be theirs as well as what it holds needs",
}


class Limit(StrEnum):
    """Limits of what one request may touch in a system; more needs dual approval."""

    MAX_PEOPLE = "max_people"
    MAX_ROWS = "max_rows"
    UNSIGNED_ROWS = "unsigned_rows"  # that a rule without a valid sign-off would keep, and that go all the same


class Exceeded(BaseModel):
    """A limit beyond which a task has done nothing: how much was ``found``, and how much was ``allowed``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    limit: Limit
    found: int
    allowed: int


REFERENCE = "[a-z]{0,20}[0-9]{1,12}"
"""The form of a ticket's reference: its number, perhaps after its kind."""


class CountUnknown(StrEnum):
    """Reasons why the number of rows found and changed is unknown."""

    STORE_REPLACED = "store_replaced"


class ShownRecord(BaseModel):
    """One record of the subject's, by what an access shows of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    category: Word
    fields: Annotated[
        Mapping[
            Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")],
            Annotated[str, StringConstraints(max_length=200, pattern=LINES), AfterValidator(nfc)]
            | Annotated[int, Field(ge=-(2**63), lt=2**63)]
            | float,
        ],
        Field(min_length=1, max_length=20),
    ] = Field(description="values as the report or `data.jsonl` has them; every record that shows all of them is meant")


class Change(BaseModel):
    """A correction of a value, or a statement next to a record that is not rewritten (Art. 16)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    field: Annotated[str, StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)?$", max_length=64)] = Field(
        description="`name`, `email`, `phone`, `address.street`, `address.postal_code`, `address.city`, or another name"
        " that a dataset gives its column by `rectifies`. A system corrects what it holds of these; where one refuses a"
        " field, a person decides."
    )
    current: (
        Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000, pattern=LINES), AfterValidator(nfc)]
        | None
    ) = Field(default=None, description="the value to replace; needed where a system holds several, as of `phone`")
    asserted: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=LINES),
        AfterValidator(nfc),
    ] = Field(
        description="what is right: an e-mail address, a number with + and country code, a name, or another value in"
        " one line of at most 200 characters"
    )
    record: ShownRecord | None = Field(
        default=None,
        description="the record that it is about, if that is not rewritten, such as the facts of a call: then"
        " `asserted` is stored next to it as the subject's own statement about `field`, and is copied with it",
    )

    @model_validator(mode="after")
    def _names_one_place(self) -> Self:
        if self.record and self.current is not None:
            raise ValueError("current is for a value that is replaced; a statement replaces none, so leave it out")
        return self


COUNTRY_UNKNOWN = "country_unknown"
"""The ground for data that are kept although it is unknown which country's law applies."""


class Kept(BaseModel):
    """The rows of a category that a system keeps by a rule of the policy (Art. 17(3)), and until when.

    ``first``, ``last``: the earliest and the latest day on which a row's retention ends; None if unknown. ``anchor``:
    the earliest start of the period, in local days, and ``period`` its length (ISO 8601), as the letter states them.
    ``reduced``: the first day on which a row is reduced to the part that another rule keeps longer. ``shown``: whether
    the data show that one country's law applies; if False, they are kept, and the letter does not name that law.
    ``restricted``: how many of the rows without a period are marked as used for nothing else.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    category: Word | None = None
    rule: Word
    count: Annotated[int, Field(ge=0)]
    first: date | None = None
    last: date | None = None
    reduced: date | None = None
    anchor: date | None = None
    period: Annotated[str, StringConstraints(pattern=r"^P(\d{1,4}M)?(\d{1,5}D)?$")] | None = None
    shown: bool | None = None
    restricted: Annotated[int, Field(ge=0)] | None = None

    @property
    def ground(self) -> str:
        """Returns the reason for the subject, in one word."""
        return COUNTRY_UNKNOWN if self.shown is False else self.rule


class TaskReport(BaseModel):
    """The report of one system in counts, without any content.

    ``searched_by``: types of the identities searched by. ``categories``: every category that was searched, with or
    without a match; ``no_account``: categories without a match because no account was found. ``not_searched``: why the
    search was left out or is incomplete. ``level``: the assurance level that was missing. ``sentence``: the explanation
    of a failure. ``exceeded``: the limit that stopped the task. ``count_unknown``: why the counts are unknown, and 0.
    ``unattributed``: rows with numbers that may belong to other people, counted up to a limit. ``written_by_others``:
    messages and files of third parties, neither exported nor changed. ``narrowed``: the requester's dates leave out a
    time in which a number was theirs. ``by_hand``: an officer did the work and entered the result. ``not_asked``: the
    system cannot separate the data of our customers, and a customer asked. ``reported``: the counts are not verified;
    with a failure, they are from before it. ``kept``: rows kept, by rule; ``ground`` is the first rule, ``until`` the
    last day of all. ``reduced``: kept rows that lost a part now. ``anonymised``: categories whose records stay without
    a reference to a person. ``ended``: categories erased with the consent. ``corrected``: changed records by
    correction, in the order requested; ``stated``: the same for statements added next to a record. ``states``: states
    that may make other systems keep data. ``unsigned``: unsigned rules that keep all that a dry run found.
    ``handed_out``: records by category in a portability package (Art. 20). Without outcome and failure, the task has
    not begun.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    task_id: UUID
    system: Word
    operation: Word
    outcome: Word | None = None
    found: int = 0
    changed: int = 0
    remaining: int = 0
    ground: Word | None = None
    until: date | None = None
    kept: tuple[Kept, ...] | None = None
    reduced: Mapping[Word, int] | None = None
    unsigned: tuple[Kept, ...] | None = None
    anonymised: tuple[Word, ...] | None = None
    ended: tuple[Word, ...] | None = None
    states: Mapping[Word, bool | None] | None = None
    failure: Word | None = None
    sentence: str | None = None
    exceeded: Exceeded | None = None
    not_searched: Word | None = None
    level: Level | None = None
    count_unknown: Word | None = None
    corrected: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    stated: bool | None = None
    unattributed: int | None = None
    written_by_others: int | None = None
    narrowed: bool | None = None
    reported: bool | None = None
    by_hand: bool | None = None
    not_asked: bool | None = None
    searched_by: tuple[Word, ...] | None = None
    categories: tuple[Word, ...] | None = None
    no_account: tuple[Word, ...] | None = None
    by_category: Mapping[Word, int] = {}
    handed_out: Mapping[Word, Annotated[int, Field(ge=0)]] | None = None
    reference: Annotated[str, StringConstraints(pattern=f"^{REFERENCE}$")] | None = None

    @property
    def reason(self) -> str | None:
        """Returns why the task waits for an officer, as a sentence."""
        if self.not_searched in set(Unsearched) and not self.sentence:
            return Unsearched(str(self.not_searched)).sentence
        return self.sentence


class Step(NamedTuple):
    """A step of a plan: an operation on a system."""

    system: str
    operation: Operation


Stages = tuple[tuple[Step, ...], ...]


def missing_corrections(reports: Iterable[TaskReport] | None) -> tuple[int, ...]:
    """Returns the places, from 1, of the corrections that no system shows, of a subject whom some system has.

    Empty while a part is still to be done, and where a report says that it was done and not which.
    """
    asked = [each for each in reports or () if each.operation == Operation.RECTIFY]
    has = [each for each in asked if each.outcome in {TaskOutcome.AMENDED, TaskOutcome.UNCHANGED}]
    if not has or any(each.outcome is None for each in asked) or any(each.corrected is None for each in has):
        return ()
    counts = zip_longest(*(each.corrected or () for each in has), fillvalue=0)
    return tuple(place for place, each in enumerate(counts, 1) if not any(each))


def has_statements(reports: Iterable[TaskReport] | None) -> bool:
    """Returns whether a request asks for statements next to records, which stay unchanged."""
    return any(each.stated for each in reports or ())


def combined_corrections(one: tuple[int, ...] | None, other: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Returns the higher counts of two searches of the same records."""
    if one is None or other is None:
        return one or other
    return tuple(max(pair) for pair in zip_longest(one, other, fillvalue=0))
