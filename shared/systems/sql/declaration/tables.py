"""A table of a dataset, once all that is said of it fits together."""

from collections.abc import Iterator
from functools import partial
from typing import Self

from pydantic import model_validator

from shared.domain.identities import IdentityType
from shared.domain.toml_file import Mistakes
from shared.systems.sql.declaration.declared_table import DeclaredTable


class Table(DeclaredTable):
    """One table; ``erase``: delete the row, or blank the subject's fields while another party is left in it (REQ-R5).

    ``person``: the column that tells people apart, for the blast-radius limit. ``tenant``: the column that says for
    which customer of ours we process the row, if for one; ``ours``: nothing in it is processed for a customer. ``via``:
    the joins by which a row leads to one of another table, which tells whose it is; several paths, if in several ways.
    ``schema``: where it stands, if elsewhere than the rest. ``where``: which of its rows are about people at all.
    ``refuse_when``: in which state of a row nothing of its subject may be erased, here or elsewhere in the store.
    ``anchors``: the columns from which periods of the policy count, by what the policy calls their beginning.
    ``anonymise``: what becomes of a row at a ceiling that leaves it without its people. ``keeps``: what is left of a
    row that a rule keeps in face of an erasure. ``kept``: the column that says so of a row to
    whoever reads it: here, or where what it leads to is kept. ``stated``: what its rows record is not rewritten, and a
    statement of the person stands beside it instead (Art. 16). ``jurisdiction``: which state's law a row is under.
    """

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        """Every mistake at once."""
        rules = (
            self._names_what_is_declared,
            self._finds_somebody,
            self._ends,
            self._is_spelled,
            self._knows_whose_it_is,
            self._is_lifted,
            partial(_blanking, self),
            partial(_governing, self),
            partial(_keeping, self),
            self._is_stated,
        )
        if mistakes := [says for rule in rules for says in rule()]:
            raise Mistakes(mistakes)
        return self

    def _names_what_is_declared(self) -> Iterator[str]:
        known = self.columns.keys()
        for place, columns in self.named.items():
            for column in columns:
                if column not in known:
                    yield f"{place} names column {column}, which is not declared"

    def _finds_somebody(self) -> Iterator[str]:
        if not self.searched and not self.paths:
            yield (
                "no column holds an identity, so nobody could be found in it: name the joins that lead to a table which"
                ' does, as via = [{ table = "customer", on = { customer_id = "id" } }]'
            )

    def _ends(self) -> Iterator[str]:
        if self.anonymise:
            if not self.anchors:
                yield "anonymise needs anchors: the column from which the period before it counts"
            yield from self.anonymise.mistakes(self.columns)

    def _is_spelled(self) -> Iterator[str]:
        for name, column in self.columns.items():
            if column.region and column.identity is not IdentityType.PHONE:
                yield f"column {name} has a region, which is for identity = phone"
            if column.domain and column.identity is not IdentityType.SIP_URI:
                yield f"column {name} has a domain, which is for identity = sip_uri"
        if len({column.region for column in self.columns.values() if column.region}) > 1:
            yield "numbers of one table are dialled in one region"

    def _knows_whose_it_is(self) -> Iterator[str]:
        for name, column in self.columns.items():
            if column.party is not None and column.party not in self.parties:
                yield f"column {name} belongs to party {column.party}, which is not declared"
            if self.parties and name in self.searched and column.party is None:
                yield f"column {name} holds an identity; say which party's it is"
        if self.parties and self.via:
            yield "via of a table with parties tells not whose the row is: write it below the party"
        if self.restriction and len(self.parties) > 1:
            yield "restriction of a row hides all its parties: declare a [restriction] table beside the data"
        for party, said in self.parties.items():
            if unknown := sorted({*(said.seen_by or ()), *filter(None, [said.same_as])} - self.parties.keys()):
                yield f"party {party} names {', '.join(unknown)}, which is not declared"
            if not any(column.personal == "A" for column in self.fields_of(party).values()):
                yield f"party {party} has no column of class A, so nothing would tell whether it is left"

    def _is_lifted(self) -> Iterator[str]:
        if self.restriction and isinstance(self.restriction.value, str) and not self.restriction.otherwise:
            yield "restriction by a word is lifted by another: write otherwise = the word that it was before"

    def _is_stated(self) -> Iterator[str]:
        if self.stated and (self.paths or not self.searched):
            yield "stated is for a table whose own columns find people: leave it out, and let a person see to it"


def _blanking(table: DeclaredTable) -> Iterator[str]:
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


def _governing(table: DeclaredTable) -> Iterator[str]:
    """What would let a kept row lose what says which state's law it is under."""
    column = table.columns.get(table.jurisdiction.column) if table.jurisdiction else None
    if table.jurisdiction and column and column.party is not None:
        name, party = table.jurisdiction.column, column.party
        yield f"jurisdiction names column {name}, which goes with party {party}: leave its party out"


def _keeping(table: DeclaredTable) -> Iterator[str]:
    """What of ``keeps`` and ``kept`` cannot be carried out, a sentence for each."""
    if table.keeps:
        yield from _undated(table)
        if table.paths and table.parties:
            yield "keeps is for rows of several people only where their own columns find them: leave out via"
        if table.keeps.bill_of is not None and table.keeps.bill_of not in table.parties:
            yield f"keeps.bill_of names {table.keeps.bill_of}, which is no party"
    if table.kept and table.restriction and table.kept.column == table.restriction.column:
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
