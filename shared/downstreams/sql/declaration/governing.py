"""What of a table would let a row that is kept lose what says which state's law it is under; pure."""

from collections.abc import Iterator

from shared.downstreams.sql.declaration.declared_table import DeclaredTable


def mistakes(table: DeclaredTable) -> Iterator[str]:
    """A sentence for each."""
    says = table.jurisdiction
    if says is None:
        return
    for name in says.near:
        if name in table.columns and (party := table.columns[name].party) is not None:
            yield f"jurisdiction names column {name}, which goes with party {party}: leave its party out"
    if says.via and table.keeps and not any(path[: len(says.via)] == says.via for _, path in table.paths):
        yield (
            "keeps, and a jurisdiction in rows that may go before these: let the joins of jurisdiction be the beginning"
            " of a via of this table, so that they stay, or name a column of its own"
        )
