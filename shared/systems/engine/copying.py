"""Copies records for their subject (Art. 15, 20), without the data of other people (Art. 15(4)); pure."""

import re
from base64 import b64encode
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from pydantic import JsonValue

from shared.domain.policy import Other, Policy
from shared.domain.release import ASSIGNED, LEFT, WITHHELD, Match
from shared.systems.contract import CopiedRecord
from shared.systems.engine.ownership import OwnedRecord, as_utc
from shared.systems.engine.records import ABSENT, NumberPeriod, PartyRole, Record, RecordField, Shape

STATEMENT: Final = "statement"
"""Field name of the subject's own statement."""
_SHORTEST: Final = 6
"""Fewest base64 characters that count as a value."""
_INSTANT: Final = timedelta(microseconds=1)


class Copies:
    """Copies records of one system, without the parts of other people that the policy redacts.

    ``left``: numbers and periods for which an erasure kept records by a rule. Those are shown, but not portable
    (Art. 20).
    """

    def __init__(self, system: str, policy: Policy, kept_periods: Sequence[NumberPeriod] = ()) -> None:
        self._system, self._policy = system, policy
        self._kept_periods: defaultdict[str, list[NumberPeriod]] = defaultdict(list)
        for span in kept_periods:
            self._kept_periods[span.number].append(span)
        self._layouts: dict[tuple[str, frozenset[PartyRole], frozenset[tuple[str, Other]]], _Layout] = {}

    def record(self, owned: OwnedRecord) -> CopiedRecord:
        """Returns one record as its subject sees it."""
        record, shape, data = owned.record, owned.record.shape, owned.record.data or ()
        redacts = self._policy.redacts(shape.category)
        others = _hidden(shape, data, owned.parties, redacts) if shape.parties else {}
        pattern = (shape.place, frozenset(owned.parties), frozenset(others.items()))
        if (layout := self._layouts.get(pattern)) is None:
            layout = self._layouts[pattern] = _layout(shape, owned.parties, others, redacts)
        shown: dict[str, JsonValue] = {
            each.label: WITHHELD if withheld else each.readable(_dialled_number(data, each, position))
            for position, each, withheld in layout.shown
            if data[position] is not ABSENT
        }
        hidden = layout.hidden
        if secrets := {s for party in others for value in _identifying(shape, data, party) for s in _forms(str(value))}:
            # nor may it stand in some other field, such as a call id
            shown = {label: WITHHELD if _contains(value, secrets) else value for label, value in shown.items()}
            hidden = (
                dict.fromkeys((label for label, value in shown.items() if value == WITHHELD), Other.WITHHELD) | hidden
            )
        if statements := "\n".join(_statements(owned)):
            shown[STATEMENT] = statements
        kept = is_kept_by_rule(owned, self._kept_periods)
        return CopiedRecord(
            *(shape.category, f"{self._system}.{shape.place}", shown, layout.portable and not kept, matches(owned)),
            *(layout.not_provided if not kept else (), _anchors(record), {LEFT: True} if kept else {}, hidden),
        )


def is_kept_by_rule(owned: OwnedRecord, kept_periods: Mapping[str, Sequence[NumberPeriod]]) -> bool:
    """Whether an erasure kept a record for a rule only, so that it must not be written again."""
    record, shape = owned.record, owned.record.shape
    if record.flags[2]:
        return True
    if not kept_periods or record.at is None or shape.clock is None or shape.kept_fields is None:
        return False
    at = as_utc(record.at, shape.clock.zone)
    holders = zip(shape.holders, record.holders, strict=True)
    values = (
        value for holder, value in holders if value is not None and holder.finds and holder.party in owned.parties
    )
    return any(s.since <= at < s.until for v in values for s in kept_periods.get(v, ()) if s.since and s.until)


def _statements(owned: OwnedRecord) -> Iterator[str]:
    parties = {holder.column: holder.party for holder in owned.record.shape.holders}
    for each in owned.record.stated:
        if parties.get(each.column) in owned.parties:
            yield f"{each.field}: {each.text} ({each.stated_on.isoformat()})"


def _anchors(record: Record) -> Mapping[str, date]:
    """Returns the start dates of periods; a time without a zone is in the zone of its place."""
    named = zip(record.shape.anchors, record.anchors, strict=True)
    dated = ((name, clock, value) for (name, clock), value in named if value is not None)
    return {name: as_utc(v, clock.zone) if isinstance(v, datetime) else v for name, clock, v in dated}


def matches(owned: OwnedRecord) -> tuple[Match, ...]:
    """Returns every identity by which a record can be found, the subject's or not, with its time and tenant."""
    record, shape = owned.record, owned.record.shape
    at = None if record.at is None or shape.clock is None else as_utc(record.at, shape.clock.zone)
    found = [
        Match(holder.type, value, at, _owner(record))
        for holder, value in zip(shape.holders, record.holders, strict=True)
        if holder.finds and value is not None
    ]
    for number, other in owned.linked:
        link = shape.links[number]
        if link.owns:
            linked = _linked_matches(other, link.of)
            found += [each._replace(tenant=_owner(record)) for each in linked] if shape.owners is not None else linked
    if shape.assigns and shape.valid and (assigned := record.holders[0]):
        since, until = (as_utc(moment, shape.valid.zone) if moment else None for moment in record.valid)
        found += [Match(ASSIGNED, assigned, since), Match(ASSIGNED, assigned, until - _INSTANT if until else None)]
    return tuple(dict.fromkeys(found))


def _linked_matches(end: OwnedRecord, of: PartyRole) -> tuple[Match, ...]:
    """Returns the identities of the record at the end of a link, of the party as which it leads here."""
    if of is None:
        return matches(end)
    holders = zip(end.record.shape.holders, end.record.holders, strict=True)
    values = {value for h, value in holders if h.party == of and value is not None}
    return tuple(each for each in matches(end) if each.value in values)


def _owner(record: Record) -> str | None:
    """Returns the tenant that a record names; empty: the company itself."""
    if record.shape.owners is None:
        return None
    known = ((tenant or "", values) for tenant, values in record.shape.owners.items())
    return next((tenant for tenant, values in known if record.tenant in values), f"?{record.tenant or ''}")


@dataclass(slots=True)
class _Layout:
    """Shown fields of a record: position, field, and whether withheld; ``hidden``: the reason by label."""

    shown: list[tuple[int, RecordField, bool]] = field(default_factory=list)
    hidden: dict[str, str] = field(default_factory=dict)
    portable: bool = False
    not_provided: tuple[str, ...] = ()


def _layout(
    shape: Shape, own_parties: Collection[PartyRole], others: Mapping[str, Other], redacts: Collection[Other]
) -> _Layout:
    layout = _Layout(portable=any(each.shown and each.portable for each in shape.fields))
    for position, each in enumerate(shape.fields):
        own = each.party is None or each.party in own_parties
        if not each.shown:
            continue
        if own or each.open or Other.OTHERS not in redacts:
            withheld = None if own else others.get(each.party or "")
            layout.shown.append((position, each, withheld is not None))
            if withheld:
                layout.hidden[each.label] = withheld
        else:
            layout.hidden[each.label] = Other.OTHERS
    if layout.portable:
        layout.not_provided = tuple(each.label for each in shape.fields if each.shown and not each.portable)
    return layout


def _dialled_number(data: Sequence[Any], each: RecordField, position: int) -> Any:
    return (data[each.dialled] if each.dialled is not None else None) or data[position]


def _hidden(
    shape: Shape, data: Sequence[Any], owned: Collection[PartyRole], redacts: Collection[Other]
) -> Mapping[str, Other]:
    """Returns parties who withheld their number, or whom the subject did not deal with (Art. 15(4)).

    The subject always sees the numbers that they dialled.
    """
    hidden: dict[str, Other] = {}
    for name, party in shape.parties.items():
        if name in owned:
            continue
        if (
            Other.WITHHELD in redacts
            and party.withheld is not None
            and hides_party(data[party.withheld], party.open_words)
        ):
            hidden[name] = Other.WITHHELD
        elif Other.UNCONCERNED in redacts and _is_unconcerned(shape, data, name, owned):
            hidden[name] = Other.UNCONCERNED
    return hidden


def hides_party(value: object, open_words: Collection[str]) -> bool:
    """Whether privacy words of a record (RFC 3323) hide the party; unknown words do."""
    words = re.split(r"[\s;,]+", "" if value is None else str(value).casefold())
    return not {word for word in words if word} <= {word.casefold() for word in open_words}


def _is_unconcerned(shape: Shape, data: Sequence[Any], party: str, owned: Collection[PartyRole]) -> bool:
    seen_by = shape.parties[party].seen_by
    return seen_by is not None and not set(seen_by) & set(owned) and not _is_same(shape, data, party)


def _is_same(shape: Shape, data: Sequence[Any], party: str) -> bool:
    """Whether a party is the one that it usually equals (``same_as``)."""
    if (other := shape.parties[party].same_as) is None:
        return False
    theirs = _identifying(shape, data, other)
    return not theirs or not set(theirs).isdisjoint(_identifying(shape, data, party))


def _identifying(shape: Shape, data: Sequence[Any], party: str) -> list[Any]:
    placeholders = {None, *shape.parties[party].placeholders}
    values = (value for each, value in zip(shape.fields, data, strict=True) if each.party == party and each.kind == "A")
    return [value for value in values if value not in placeholders]


def _contains(value: JsonValue, secrets: Collection[str]) -> bool:
    return isinstance(value, str) and any(secret in value or secret in value.lower() for secret in secrets)


def _forms(value: str) -> set[str]:
    """Returns the forms in which a value may appear in another field, such as a call id: plain, hex, base64.

    The digits of a number appear with +, 00 or neither. Base64 has three forms, by offset; characters that depend on
    neighbouring bytes are left out.
    """
    plain = value.lstrip("+")
    coded = (b64encode(b"\0" * before + plain.encode()).decode().rstrip("=") for before in range(3))
    inner = (text[(0, 2, 3)[before] : -1] for before, text in enumerate(coded))
    return {plain, plain.encode().hex(), *(text for text in inner if len(text) >= _SHORTEST)} - {""}
