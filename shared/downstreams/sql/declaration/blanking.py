"""What a table whose rows are blanked may not say: that one is still found, or another no longer is; pure."""

from collections.abc import Iterator

from shared.downstreams.sql.declaration.declared_table import DeclaredTable


def mistakes(table: DeclaredTable) -> Iterator[str]:
    """A sentence for each, of a table with ``erase = "blank"``."""
    if table.erase != "blank":
        return
    yield from _loses_somebody(table)
    if len(table.parties) == 1:
        yield "erase = blank needs two parties or more, or none: then the row is kept without its person"
    keys = [{near for near, _ in path[0].columns if near not in table.primary_key} for _, path in table.paths]
    goes = table.blanked | table.derived
    whole = {name for key in keys if not key & goes for name in key}  # a part of a key leads nowhere
    if left := sorted(whole | (table.searched.keys() - goes)):
        yield f"erase = blank leaves {left[0]}, by which its person is found: give it class A"


def _loses_somebody(table: DeclaredTable) -> Iterator[str]:
    """What the erasure of one party blanks may not be what the others of its row are found by."""
    of_all = {*(test.column for test in table.where), *filter(None, [table.tenant])}
    of_all |= {table.occurred.column} if table.occurred else set()
    of_all |= {table.period.valid_from, table.period.valid_to} if table.period else set()
    for party in table.parties:
        searched = [column for column in table.searched.values() if column.party == party]
        finds = {near for of, path in table.paths if of == party for near in path[0].on}
        finds |= {name for column in searched for name in (column.domain, column.of) if name}
        for name in sorted(of_all | finds):
            other = table.columns[name].party if name in table.columns else None
            if other not in {None, party}:
                yield f"column {name} finds party {party}, and goes with party {other}: leave its party out"
