"""A table of a dataset, once all that is said of it fits together."""

from collections.abc import Iterator
from functools import partial
from typing import Self

from pydantic import model_validator

from shared.domain.identities import IdentityType
from shared.domain.toml_file import Mistakes
from shared.downstreams.sql.declaration import blanking, governing, keeping
from shared.downstreams.sql.declaration.declared import RowSwitch, Switch
from shared.downstreams.sql.declaration.declared_table import DeclaredTable


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
            partial(blanking.mistakes, self),
            partial(governing.mistakes, self),
            partial(keeping.mistakes, self),
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
                elif self.columns[column].json_:
                    yield f"{place} names {column}, which is a part of a document: name a column"

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
            if (column.region or column.match == "digits") and column.identity is not IdentityType.PHONE:
                yield f"column {name} has region or match = digits, which is for identity = phone"
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
        if isinstance(self.restriction, RowSwitch) and not (self.restriction.present and self.restriction.request):
            yield "restriction by rows of a table is lifted by a column of it: write request = that column"
        if (
            isinstance(self.restriction, Switch)
            and isinstance(self.restriction.value, str)
            and not self.restriction.otherwise
        ):
            yield "restriction by a word is lifted by another: write otherwise = the word that it was before"

    def _is_stated(self) -> Iterator[str]:
        if self.stated and (self.paths or not self.searched):
            yield "stated is for a table whose own columns find people: leave it out, and let a person see to it"
