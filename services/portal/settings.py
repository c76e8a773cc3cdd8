"""Settings of the portal; ``DSR_PORTAL_…``. Without an address there is none."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, FilePath, model_validator

from services.web.guard import origin
from shared.domain.configuration import Group


def _origin(url: str) -> str:
    return origin(url) if url else ""


class PortalSettings(Group, prefix="DSR_PORTAL_"):
    """Where people reach the portal, and who vouches for those who have signed in."""

    url: Annotated[str, AfterValidator(_origin)] = Field(
        default="",
        description="scheme and host by which people reach it, such as https://privacy.example.com; http only on this"
        " machine; without it there is no portal",
    )
    sign_in_url: str | None = Field(
        default=None, description="page of the customer portal that returns a signed-in visitor with a token"
    )
    sign_in_issuer: str | None = Field(default=None, description="who issues those tokens (`iss`)")
    sign_in_keys: FilePath | None = Field(default=None, description="JWK set by which they are checked (RFC 7517)")
    idle_minutes: int = Field(default=30, ge=5, le=240, description="minutes after which an unused session ends")
    session_hours: int = Field(default=8, ge=1, le=24, description="hours after which any session ends")
    pages_a_second: float = Field(
        default=5.0, gt=0, le=1_000_000, description="pages a second of one address; thirty times as many in a burst"
    )

    sendings_an_hour: float = Field(
        default=30.0,
        gt=0,
        le=1_000_000,
        description="requests and references that one address may send in an hour; a burst may use them all",
    )

    @model_validator(mode="after")
    def _knows_who_vouches(self) -> Self:
        if len({self.sign_in_url is None, self.sign_in_issuer is None, self.sign_in_keys is None}) > 1:
            raise ValueError(
                "DSR_PORTAL_SIGN_IN_URL, _ISSUER and _KEYS belong together: set all three, or none of them"
            )
        return self
