"""Defines how Tryton is reached, the limits of one request, and the fields of parties that keep data."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.systems.settings import HttpSettings, Url

FieldName = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,62}$")]


class DeclaredGrounds(BaseModel):
    """The fields of a party that say why its data must stay; a value that is none of those named is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contract: FieldName = Field(
        default="contract",
        description="`active`, `ended`, or `none`; anything else is not known; a number in use or credit is a contract",
    )
    ended_on: FieldName = Field(default="contract_ended_on", description="the day on which an ended contract did")
    invoice_open: FieldName | None = Field(
        default=None, description="`yes` or `no`: an invoice is not settled; left out: another system's matter"
    )
    disputed: FieldName | None = Field(
        default=None, description="`yes` or `no`: a bill is disputed; left out: another system's matter"
    )
    credit: FieldName | None = Field(
        default=None, description="an amount: prepaid credit, which is a contract; empty or left out: there is none"
    )

    last_activity: FieldName | None = Field(
        default=None, description="a day: the last click, login, purchase or reply; keeps nothing, and is shown"
    )

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        named = (self.contract, self.ended_on, self.invoice_open, self.disputed, self.credit, self.last_activity)
        return tuple(filter(None, named))


class TrytonSettings(HttpSettings):
    """The table of a downstream with ``adapter = "tryton"``.

    The user is one of the CRM's privacy team: to erase, and to find restricted parties, needs its groups. Bulk calls
    and the erase wizard need a session, so a login: a REST key opens neither.
    """

    adapter: Literal["tryton"] = "tryton"
    url: Url = Field(description="where Tryton listens, without the database's name")
    database: str = Field(default="tryton", description="name of the Tryton database")
    login: str = Field(default="privacy", description="user of the privacy team")
    password_env: str = Field(description="environment variable that holds that user's password")
    timeout_seconds: float = Field(
        default=20.0, gt=0, le=3_600, description="how long it may be silent while it answers"
    )
    grounds: DeclaredGrounds | None = Field(
        default=None,
        description="fields of a party that say why its data must stay; left out: nothing in this CRM keeps any",
    )
    concurrency: int = Field(default=4, ge=1, le=64, description="calls at a time")
    max_people: int = Field(default=5, ge=1, le=1_000, description="customers that one request may touch")
    max_rows: int = Field(default=300, ge=1, le=1_000_000_000, description="rows that one request may touch")

    @property
    def rounds(self) -> int:
        """A customer who is entered while they are erased is a person's matter."""
        return 0
