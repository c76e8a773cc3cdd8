"""What a table must say so that a rule of the policy can keep rows of it in face of an erasure; pure."""

from collections.abc import Iterator

from shared.downstreams.sql.declaration.declared_table import DeclaredTable


def mistakes(table: DeclaredTable) -> Iterator[str]:
    """What of ``keeps`` and ``kept`` cannot be carried out, a sentence for each."""
    if table.keeps:
        yield from _undated(table)
        if table.paths and table.parties:
            yield "keeps is for rows of several people only where their own columns find them: leave out via"
        if table.keeps.bill_of is not None and table.keeps.bill_of not in table.parties:
            yield f"keeps.bill_of names {table.keeps.bill_of}, which is no party"
    if table.kept and table.kept.column in table.switched_by(table.restriction):
        yield "kept names the column of restriction, which a person may ask to lift: name another"


def _undated(table: DeclaredTable) -> Iterator[str]:
    """Why it cannot be told which rows a rule keeps still."""
    dated = sorted({anchor.column for anchor in table.anchors.values()})
    if len(dated) != 1:
        named = f"anchors name {', '.join(dated)}" if dated else "there are no anchors"
        yield f"keeps counts from one column, and {named}: name in anchors the one from which its rule counts"
    elif table.occurred is None:
        yield (
            "keeps needs occurred, by which it is told which rows a rule keeps still: write"
            f' occurred = {{ column = "{dated[0]}" }}, as anchors have it'
        )
    elif table.occurred.column != dated[0]:
        yield (
            f"keeps counts from one column: occurred names {table.occurred.column} and anchors name {dated[0]}; let"
            " both name the one from which the rule counts"
        )
