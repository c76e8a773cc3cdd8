"""The table of an OpenDSR processor: its address, and its names for types of identities."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, HttpUrl, model_validator

from shared.domain.identities import IdentityType
from shared.systems.settings import HttpSettings

KNOWN_TYPES = frozenset(
    {
        "android_advertising_id",
        "android_id",
        "controller_customer_id",
        "email",
        "fire_advertising_id",
        "ios_advertising_id",
        "ios_vendor_id",
        "microsoft_advertising_id",
        "microsoft_publisher_id",
        "roku_advertising_id",
        "roku_publisher_id",
    }
)
"""The identity types of OpenDSR 2.0, section 5.1; it has none for phone numbers and SIP addresses."""

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class OpenDsrSettings(HttpSettings):
    """A table ``adapter = "opendsr"`` of the downstreams file.

    ``identities`` maps our identity types to OpenDSR's. What OpenDSR has no type for goes into ``extensions``: the
    processor's own names, sent under its ``domain`` (section 7.1.2), for example ``phone = "phone_number"``.
    """

    adapter: Literal["opendsr"] = "opendsr"
    url: Annotated[HttpUrl, Field(description="base URL with the major version, https://dsr.example.com/v2")]
    token_env: str | None = Field(default=None, description="environment variable that holds the bearer token")
    domain: str | None = Field(default=None, description="its domain, as its certificate and extensions say it")
    certificate: Path | None = Field(
        default=None, description="PEM file of the certificate that signs its answers; needed but on this machine"
    )
    identities: Mapping[IdentityType, str] = {IdentityType.EMAIL: "email"}
    extensions: Mapping[IdentityType, str] = {}
    results_hosts: tuple[str, ...] = Field(default=(), description="further hosts from which results may be fetched")
    portable: bool = Field(default=False, description="what it holds was provided by the subject (Art. 20)")
    max_rows: int = Field(
        default=10_000, ge=1, le=1_000_000_000, description="an erasure that would touch more stops and asks"
    )
    poll_s: float = Field(
        default=300, gt=0, le=86_400, description="how long to leave a request that is not completed yet"
    )
    timeout_s: float = Field(default=10, gt=0, le=3_600, description="how long it may be silent while it answers")
    parallel: int = Field(default=8, ge=1, le=64, description="calls under way at a time")

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        unknown = sorted(set(self.identities.values()) - KNOWN_TYPES)
        if unknown:
            known = ", ".join(sorted(KNOWN_TYPES))
            raise ValueError(
                f"identities: OpenDSR has no {', '.join(unknown)}; put it under extensions, or use {known}"
            )
        if (self.extensions or self.certificate) and self.domain is None:
            raise ValueError(
                'extensions and certificate need the processor\'s domain; write domain = "dsr.example.com"'
            )
        if self.url.host not in _LOOPBACK:
            if self.url.scheme != "https":
                raise ValueError("url must begin with https://: the identities of a subject travel to it")
            if self.certificate is None:
                raise ValueError(
                    "certificate is missing: what is not signed is not believed;"
                    ' write certificate = "dsr.example.com.pem", the file of the certificate that signs its answers'
                )
        return self
