"""To whom a declared system would send marketing: all records of a resource that do not bear its mark, page by page."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from shared.domain.identities import Identity, IdentityType
from shared.downstreams.http.declaration import Declaration, Resource
from shared.downstreams.http.interface import Interface
from shared.downstreams.http.pages import pages_of
from shared.downstreams.http.paths import each_at
from shared.downstreams.http.search import spelled


async def would_get_marketing(interface: Interface) -> AsyncIterator[Sequence[Sequence[Identity]]]:
    """By what those are known whose record shows no stop; a value that can be no identity reaches nobody."""
    system, session = interface.system, interface.session
    for resource in interface.declaration.resource.values():
        if resource.everybody is None or resource.suppress is None:
            continue
        stopped = resource.suppress.seen
        async for page in pages_of(system, session, resource.everybody, {}, patient=True):
            mailed = [record for record in page if not all(each.holds_of(record) for each in stopped)]
            yield [[*_known(system, resource, record)] for record in mailed]


def not_listed(declaration: Declaration) -> tuple[str, ...]:
    """The resources of which nobody is told whom they would mail: those with a mark, or all where none has one."""
    alone = {name: each for name, each in declaration.resource.items() if each.of is None}
    marked = {name: each for name, each in alone.items() if each.suppress is not None}
    return tuple(name for name, each in (marked or alone).items() if each.everybody is None)


def _known(system: str, resource: Resource, record: Mapping[str, Any]) -> Iterator[Identity]:
    kinds = set(IdentityType)
    owned = {path: IdentityType(whose) for path, whose in resource.owner.items() if whose in kinds}
    for path, kind in (owned | {**resource.yields}).items():
        for value in each_at(record, path):
            if said := spelled(kind, value):
                yield Identity(kind, said, source=system)
