"""Holds what is known of a subject, merges pieces of it, and encodes it for sealing."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change
from shared.domain.rights import NOTHING


@dataclass(frozen=True, slots=True)
class SubjectData:
    """The identities of a subject, and for a rectification the changes that they ask for.

    ``tenant``: the customer who asked, and whose data alone are searched; None: we are the controller.
    """

    identities: tuple[Identity, ...] = ()
    changes: tuple[Change, ...] = ()
    tenant: str | None = None


def merged(identities: Iterable[Identity]) -> tuple[Identity, ...]:
    """Each identity once, as well as it is proved by now, in the order in which they came."""
    known: dict[tuple[object, ...], Identity] = {}
    for each in identities:
        same = (each.type, each.value, each.valid_from, each.valid_to, each.source)
        if (before := known.get(same)) is None:
            known[same] = each
        elif before != each:
            since = [moment for moment in (before.proved_since, each.proved_since) if moment]
            level, shared = max(before.level, each.level), before.shared or each.shared
            together = all(one.together for one in (before, each) if one.level == level)
            since_first = min(since, default=None)
            known[same] = replace(each, level=level, together=together, proved_since=since_first, shared=shared)
    return tuple(known.values())


def with_lower_levels(known: Iterable[Identity], left: Iterable[Identity]) -> tuple[Identity, ...]:
    """Lowers the proof of identities to what is left; later proof counts again."""
    levels = {(each.type, each.value): each.level for each in left}

    def without(each: Identity) -> Identity:
        level = min(each.level, levels.get((each.type, each.value), each.level))
        since = each.proved_since if level > NOTHING else None
        return replace(each, level=level, together=each.together and level == each.level, proved_since=since)

    return tuple(map(without, known))


def encode_identities(identities: Iterable[Identity]) -> bytes:
    """The form in which yielded identities are sealed."""
    return encode(SubjectData(tuple(identities)))


def encode(data: SubjectData) -> bytes:
    """The form in which what is known is sealed."""
    identities = [
        (
            *(i.type, i.value, i.valid_from, i.valid_to, i.source),
            *(i.proved_since, i.level, i.together, i.shared, i.claimed),
        )
        for i in data.identities
    ]
    return orjson.dumps([identities, [change.model_dump() for change in data.changes], data.tenant])


def decode(content: bytes) -> SubjectData:
    """Returns what is known, from its sealed form."""
    identities, changes, *tenant = orjson.loads(content)
    return SubjectData(
        tuple(
            Identity(IdentityType(kind), value, _instant(start), _instant(end), source, _instant(proved), *level)
            for kind, value, start, end, source, proved, *level in identities
        ),
        tuple(map(Change.model_validate, changes)),
        *tenant,
    )


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
