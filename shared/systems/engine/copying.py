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
from shared.systems.engine.ownership import Mine, as_utc
from shared.systems.engine.records import ABSENT, Field, Party, Record, Shape, Span

STATEMENT: Final = "statement"
"""Field name of the subject's own statement."""
_LEAST: Final = 6
"""Fewest base64 characters that count as a value."""
_INSTANT: Final = timedelta(microseconds=1)


class Copies:
    """Copies records of one system, without the parts of other people that the policy redacts.

    ``left``: numbers and periods for which an erasure kept records by a rule. Those are shown, but not portable
    (Art. 20).
    """

    def __init__(self, system: str, policy: Policy, left: Sequence[Span] = ()) -> None:
        self._system, self._policy = system, policy
        self._left: defaultdict[str, list[Span]] = defaultdict(list)
        for span in left:
            self._left[span.number].append(span)
        self._layouts: dict[tuple[str, frozenset[Party], frozenset[tuple[str, Other]]], _Layout] = {}

    def record(self, mine: Mine) -> CopiedRecord:
        """Returns one record as its subject sees it."""
        record, shape, data = mine.record, mine.record.shape, mine.record.data or ()
        redacts = self._policy.redacts(shape.category)
        others = _hidden(shape, data, mine.parties, redacts) if shape.parties else {}
        met = (shape.place, frozenset(mine.parties), frozenset(others.items()))
        if (layout := self._layouts.get(met)) is None:
            layout = self._layouts[met] = _layout(shape, mine.parties, others, redacts)
        shown: dict[str, JsonValue] = {
            each.label: WITHHELD if withheld else each.readable(_dialled(data, each, position))
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
        if said := "\n".join(_statements(mine)):
            shown[STATEMENT] = said
        left = is_left(mine, self._left)
        return CopiedRecord(
            *(shape.category, f"{self._system}.{shape.place}", shown, layout.portable and not left, matches(mine)),
            *(layout.not_provided if not left else (), _anchors(record), {LEFT: True} if left else {}, hidden),
        )


def is_left(mine: Mine, left: Mapping[str, Sequence[Span]]) -> bool:
    """Whether an erasure kept a record for a rule only, so that it must not be written again."""
    record, shape = mine.record, mine.record.shape
    if record.flags[2]:
        return True
    if not left or record.at is None or shape.clock is None or shape.keeps is None:
        return False
    at = as_utc(record.at, shape.clock.zone)
    named = zip(shape.holders, record.holders, strict=True)
    theirs = (value for holder, value in named if value is not None and holder.finds and holder.party in mine.parties)
    return any(s.since <= at < s.until for v in theirs for s in left.get(v, ()) if s.since and s.until)


def _statements(mine: Mine) -> Iterator[str]:
    parties = {holder.column: holder.party for holder in mine.record.shape.holders}
    for each in mine.record.stated:
        if parties.get(each.column) in mine.parties:
            yield f"{each.field}: {each.said} ({each.stated_on.isoformat()})"


def _anchors(record: Record) -> Mapping[str, date]:
    """Returns the start dates of periods; a time without a zone is in the zone of its place."""
    named = zip(record.shape.anchors, record.anchors, strict=True)
    dated = ((name, clock, value) for (name, clock), value in named if value is not None)
    return {name: as_utc(v, clock.zone) if isinstance(v, datetime) else v for name, clock, v in dated}


def matches(mine: Mine) -> tuple[Match, ...]:
    """Returns every identity by which a record can be found, the subject's or not, with its time and tenant."""
    record, shape = mine.record, mine.record.shape
    at = None if record.at is None or shape.clock is None else as_utc(record.at, shape.clock.zone)
    found = [
        Match(holder.type, value, at, _owner(record))
        for holder, value in zip(shape.holders, record.holders, strict=True)
        if holder.finds and value is not None
    ]
    for number, end in mine.ends:
        link = shape.links[number]
        if link.owns:
            led = _of(end, link.of)
            found += [each._replace(tenant=_owner(record)) for each in led] if shape.owners is not None else led
    if shape.assigns and shape.valid and (assigned := record.holders[0]):
        since, until = (as_utc(moment, shape.valid.zone) if moment else None for moment in record.valid)
        found += [Match(ASSIGNED, assigned, since), Match(ASSIGNED, assigned, until - _INSTANT if until else None)]
    return tuple(dict.fromkeys(found))


def _of(end: Mine, of: Party) -> tuple[Match, ...]:
    """Returns the identities of the record at the end of a link, of the party as which it leads here."""
    if of is None:
        return matches(end)
    held = zip(end.record.shape.holders, end.record.holders, strict=True)
    theirs = {value for h, value in held if h.party == of and value is not None}
    return tuple(each for each in matches(end) if each.value in theirs)


def _owner(record: Record) -> str | None:
    """Returns the tenant that a record names; empty: the company itself."""
    if record.shape.owners is None:
        return None
    known = ((tenant or "", values) for tenant, values in record.shape.owners.items())
    return next((tenant for tenant, values in known if record.tenant in values), f"?{record.tenant or ''}")


@dataclass(slots=True)
class _Layout:
    """Shown fields of a record: position, field, and whether withheld; ``hidden``: the reason by label."""

    shown: list[tuple[int, Field, bool]] = field(default_factory=list)
    hidden: dict[str, str] = field(default_factory=dict)
    portable: bool = False
    not_provided: tuple[str, ...] = ()


def _layout(shape: Shape, mine: Collection[Party], others: Mapping[str, Other], redacts: Collection[Other]) -> _Layout:
    layout = _Layout(portable=any(each.shown and each.portable for each in shape.fields))
    for position, each in enumerate(shape.fields):
        own = each.party is None or each.party in mine
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


def _dialled(data: Sequence[Any], each: Field, position: int) -> Any:
    return (data[each.dialled] if each.dialled is not None else None) or data[position]


def _hidden(
    shape: Shape, data: Sequence[Any], mine: Collection[Party], redacts: Collection[Other]
) -> Mapping[str, Other]:
    """Returns parties who withheld their number, or whom the subject did not deal with (Art. 15(4)).

    The subject always sees the numbers that they dialled.
    """
    hidden: dict[str, Other] = {}
    for name, party in shape.parties.items():
        if name in mine:
            continue
        if Other.WITHHELD in redacts and party.withheld is not None and hides(data[party.withheld], party.open_words):
            hidden[name] = Other.WITHHELD
        elif Other.UNCONCERNED in redacts and _is_unconcerned(shape, data, name, mine):
            hidden[name] = Other.UNCONCERNED
    return hidden


def hides(said: object, open_words: Collection[str]) -> bool:
    """Whether privacy words of a record (RFC 3323) hide the party; unknown words do."""
    words = re.split(r"[\s;,]+", "" if said is None else str(said).casefold())
    return not {word for word in words if word} <= {word.casefold() for word in open_words}


def _is_unconcerned(shape: Shape, data: Sequence[Any], party: str, mine: Collection[Party]) -> bool:
    seen_by = shape.parties[party].seen_by
    return seen_by is not None and not set(seen_by) & set(mine) and not _is_same(shape, data, party)


def _is_same(shape: Shape, data: Sequence[Any], party: str) -> bool:
    """Whether a party is the one that it usually equals (``same_as``)."""
    if (other := shape.parties[party].same_as) is None:
        return False
    theirs = _identifying(shape, data, other)
    return not theirs or not set(theirs).isdisjoint(_identifying(shape, data, party))


def _identifying(shape: Shape, data: Sequence[Any], party: str) -> list[Any]:
    placeholders = {None, *shape.parties[party].placeholders}
    held = (value for each, value in zip(shape.fields, data, strict=True) if each.party == party and each.kind == "A")
    return [value for value in held if value not in placeholders]


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
    return {plain, plain.encode().hex(), *(text for text in inner if len(text) >= _LEAST)} - {""}
