"""What a dataset says of one column."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from shared.domain.identities import IdentityType
from shared.systems.sql.declaration.declared import Declared, Name, decided

_MAILED = frozenset({IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID})


class Column(Declared):
    """One column: what it is about whom, how it is searched, shown, blanked and corrected.

    ``personal``: A identifies a party, B another person, M tells about a party, C content, T technical (never
    exported). ``party``: whose it is in a row of several people; of class B without one nobody can tell, so it is never
    shown. ``generated``: the database derives it, so it is
    searched but neither shown nor blanked. ``others``: what another party of the row is shown.

    ``match``: what is compared with an identity, and has an index: the column as it is (``exact``), or ``lower(c)``
    (``lower``). ``region``: in which country its numbers were dialled, where they stand there as dialled. ``domain``:
    the column with the domain of a SIP user, compared as ``('sip:' || c || '@' || lower(domain))``. ``of``: the column
    from which it is derived: in a row where only that has a value, and nothing that is derived from it, nobody can tell
    whose it is.

    ``type``: what it was in the database when its class was decided, for ``dsr dataset diff``.
    """

    personal: Annotated[Literal["A", "B", "M", "C", "T"], BeforeValidator(decided)] = Field(alias="class")
    identity: IdentityType | None = None
    party: str | None = None
    match: Literal["exact", "lower"] = "exact"
    region: Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")] | None = None
    domain: Name | None = None
    of: Name | None = None
    generated: bool = False
    label: str | None = None
    explain: str = ""
    codes: Mapping[str, str] = Field(default_factory=dict)
    others: Literal["show", "strip"] = "strip"
    blank: str | None = None
    yields: bool = False
    rectifies: str | None = None
    portable: bool = True
    type: str | None = None

    @property
    def shown(self) -> bool:
        return self.personal != "T" and not self.generated and not self.unattributed

    @property
    def goes(self) -> bool:
        """Whether it is blanked where a row about one person is kept without them."""
        return self.personal in {"A", "C"} or "blank" in self.model_fields_set

    @property
    def mails(self) -> bool:
        """Whether its value is one by which marketing reaches somebody, or by which they are known for it."""
        return self.identity in _MAILED

    @property
    def unattributed(self) -> bool:
        """Whether it is about another person, and nothing tells about whom."""
        return self.personal == "B" and self.party is None
