"""Finds the identities that a system links to those that the requester gave (Art. 12(2))."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from shared.domain.errors import NotSupported
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.operations import TaskOutcome
from shared.systems.contract import Receipt, Result, Task
from shared.systems.engine.account_claims import identities_to_adopt
from shared.systems.engine.finding import find_records, kept_number_periods
from shared.systems.engine.ownership import (
    OwnedRecord,
    SubjectRecords,
    as_utc,
    party_identities,
    refusal,
    subject_search,
)
from shared.systems.engine.records import System, Unit


async def locate(system: System, unit: Unit, tasks: Sequence[Task]) -> list[Result]:
    """Follows the identities in found records until nothing new is found.

    A number is followed only together with the period in which the subject had it.
    """
    known, results = {task.task_id: task for task in tasks}, dict[UUID, Result]()
    following = [*tasks]
    for _ in range(MAX_ROUNDS):
        searched = [identities_to_follow(task, known[task.task_id]) for task in following]
        continuing: list[Task] = []
        for task, found in zip(following, await _find(unit, searched), strict=True):
            if refused := refusal(found, system.limits):
                results[task.task_id] = refused
                continue
            new = _fresh(system.name, known[task.task_id], found)
            if new:
                unchanged = tuple(each for each in known[task.task_id].identities if not _is_superseded(each, new))
                known[task.task_id] = replace(known[task.task_id], identities=(*unchanged, *new))
            if identities_to_follow(task, known[task.task_id]).identities != found.task.identities:
                continuing.append(task)
            else:
                located = await _with_shared(system.name, unit, task, known[task.task_id])
                results[task.task_id] = _located(task, located, len(found.records))
        if not (following := continuing):
            break
    results |= {task.task_id: endless_search(system.name) for task in following}
    return [results[task.task_id] for task in tasks]


async def _find(unit: Unit, tasks: Sequence[Task]) -> list[SubjectRecords]:
    searches = [subject_search(task, unit.shapes) for task in tasks]
    return await find_records(unit, searches, hidden=await kept_number_periods(unit, searches))


def _fresh(system: str, known: Task, found: SubjectRecords) -> list[Identity]:
    """Returns new identities of the records, judged by what was known when they were attributed."""
    yielded = (
        each
        for m in found.records.values()
        for each in identities_to_adopt(found.task, party_identities(m), _yielded_identities(system, m))
    )
    return [*dict.fromkeys(each for each in yielded if not _is_known(known, each))]


async def _with_shared(system: str, unit: Unit, asked: Task, known: Task) -> Task:
    """Marks yielded identities that are not followed and that other people share."""
    unfollowed = identities_to_follow(asked, known).ignored[len(asked.ignored) :]
    if not unfollowed:
        return known
    task = replace(known, identities=unfollowed, ignored=known.identities)
    [found] = await _find(unit, [task])
    shared = shared_identities(task, [[*_yielded_identities(system, owned)] for owned in found.records.values()])
    return replace(known, identities=tuple(replace(i, shared=True) if i in shared else i for i in known.identities))


def _located(asked: Task, known: Task, records: int) -> Receipt:
    if not records:
        return Receipt(asked.task_id, TaskOutcome.NO_MATCH)
    new = tuple(identity for identity in known.identities if identity not in asked.identities)
    return Receipt(asked.task_id, TaskOutcome.LOCATED, found=records, remaining=records, identities=new)


def _yielded_identities(system: str, owned: OwnedRecord) -> Iterator[Identity]:
    """Yields the identities of a record, with their period."""
    record, clock = owned.record, owned.record.shape.valid
    since, until = (as_utc(at, clock.zone) if clock and at else None for at in record.valid)
    for holder, value in zip(record.shape.holders, record.holders, strict=True):
        if not holder.yields or value is None:
            continue
        try:
            spelled = normalise(holder.type, value)
        except MalformedIdentity:
            continue  # what cannot be normalised cannot be searched for elsewhere
        if holder.type is IdentityType.PHONE:
            yield Identity(holder.type, spelled, since, until, system)
        else:
            yield Identity(holder.type, spelled, source=system, claimed=holder.type is IdentityType.ACCOUNT_ID)


def _is_known(task: Task, identity: Identity) -> bool:
    """Whether an identity is known; a stated account is not, since the register asks which system has found it."""
    same = (known for known in task.identities if (known.type, known.value) == (identity.type, identity.value))
    if identity.type is IdentityType.ACCOUNT_ID:
        return any(known.source == identity.source for known in same)
    if identity.valid_from is None:
        return any(True for _ in same)
    return any((known.valid_from, known.valid_to) == (identity.valid_from, identity.valid_to) for known in same)


def _is_superseded(known: Identity, fresh: Sequence[Identity]) -> bool:
    """Whether the period of a number without one has become known."""
    return known.valid_from is None and any(
        (new.type, new.value) == (known.type, known.value) and new.valid_from is not None for new in fresh
    )


_CONTACT_POINTS: Final = frozenset({IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI})
_SEPARATING: Final = frozenset({IdentityType.EMAIL, IdentityType.ACCOUNT_ID})
"""Identities that separate two people who share an address or a number."""
MAX_ROUNDS: Final = 16
"""Most rounds of following; more mean that records of several people are mixed up."""


def endless_search(system: str) -> NotSupported:
    """Refuses a search that does not end: records lead on to more and more others."""
    return NotSupported(
        f"{system} leads from what is known of the subject to ever more addresses and accounts: look whose they are, do"
        " it by hand, and enter what was done"
    )


def identities_to_follow(asked: Task, known: Task) -> Task:
    """Returns the task with the identities to search by; an objection follows no address found in a row.

    ``asked``: the original task; ``known``: the task with the identities found since.
    """
    if asked.follows_contacts:
        return known
    original = {(each.type, each.value) for each in asked.identities}
    ignored = [each for each in known.identities if _is_not_followed(each, original)]
    followed = tuple(each for each in known.identities if each not in ignored)
    return replace(known, identities=followed, ignored=(*known.ignored, *ignored))


def shared_identities(asked: Task, rows_found: Iterable[Iterable[Identity]]) -> frozenset[Identity]:
    """Returns the identities searched by that rows of other people bear too.

    ``rows_found``: the identities of each row. A row with an unknown account or address is another person's.
    """
    known = {(each.type, each.value) for each in asked.known}
    rows = [frozenset((each.type, each.value) for each in row) for row in rows_found]
    others = [row for row in rows if any(kind in _SEPARATING for kind, _ in row - known)]
    return frozenset(each for each in asked.identities if any((each.type, each.value) in row for row in others))


def _is_not_followed(each: Identity, own: Container[tuple[IdentityType, str]]) -> bool:
    return each.type in _CONTACT_POINTS and (each.type, each.value) not in own
