"""How a Tryton is reached, and how much of it one request may touch."""

from typing import Literal

from pydantic import Field

from shared.downstreams.settings import HttpSettings, Url
from shared.downstreams.tryton.grounds import DeclaredGrounds


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
    max_people: int = Field(default=5, ge=1, le=1_000, description="parties that one request may touch")
    max_rows: int = Field(default=300, ge=1, le=1_000_000_000, description="rows that one request may touch")
