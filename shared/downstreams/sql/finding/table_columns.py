"""One table and its columns as SQL: how each is read, and compared with an identity."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from shared.domain.identities import IdentityType
from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.declaration.documents import path_of
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.declaration.tenancy import Tenancy
from shared.downstreams.sql.finding.search_keys import Slot
from shared.downstreams.sql.quoting import quoted


@dataclass(frozen=True)
class TableColumns:
    """A declared table as it is today; every name is quoted, and a row of it is called ``t``."""

    namespace: str
    name: str
    table: Table
    relation: Relation
    tenancy: Tenancy = field(default_factory=Tenancy)
    tenant: str | None = None
    """The customer of ours whose rows alone they are about; None: ours."""

    @cached_property
    def source(self) -> str:
        return f"{quoted(self.table.schema_ or self.namespace)}.{quoted(self.name)}"

    def read(self, column: str) -> str:
        """What a column holds, or a part of the document in another one as text."""
        declared = self.table.columns[column]
        document = declared.json_
        return f"(t.{quoted(document)} #>> {path_of(column, declared)})" if document else f"t.{quoted(column)}"

    def type_of(self, column: str) -> str:
        """The type of what is read."""
        return "text" if self.table.columns[column].json_ else self.relation.types[column]

    def expression(self, column: str) -> str:
        """What is compared with an identity; an index must be on exactly this."""
        declared, plain = self.table.columns[column], self.read(column)
        if declared.domain:
            plain = f"('sip:' || {plain} || '@' || lower(t.{quoted(declared.domain)}))"
        match declared.match:
            case "lower":
                return f"lower({plain})"
            case "trimmed":
                return f"lower(btrim({plain}))"
            case "digits":
                return f"regexp_replace({plain}, '[^0-9+]', '', 'g')"
            case "exact":
                return plain

    def seen(self, column: str) -> str:
        """What was found, as text in the spelling of identities: an address is one in any case, as citext has it."""
        any_case = self.type_of(column) == "citext" and self.table.columns[column].identity is IdentityType.EMAIL
        return f"lower({self.expression(column)}::text)" if any_case else f"{self.expression(column)}::text"

    def values(self, column: str, slots: Sequence[Slot]) -> str:
        """The parameter with the values of its identity type."""
        identity = self.table.columns[column].identity
        return f"${slots.index((self.name, identity)) + 1}::text[]" if identity else ""

    def cast(self, column: str, of: str = "") -> str:
        """What makes of an identity something that can be compared with the column."""
        declared = self.table.columns[column]
        as_text = declared.json_ or self.relation.is_text(column) or declared.match != "exact" or declared.domain
        return "" if as_text else f"::{self.relation.types[column]}{of}"

    @property
    def owner(self) -> str:
        return f"lower(t.{quoted(self.table.tenant or '')}::text)"

    @cached_property
    def moment(self) -> str:
        return f"t.{quoted(self.table.occurred.column)}" if self.table.occurred else "NULL::timestamptz"
