"""Reads the settings of outgoing letters and incoming mail; without a server, letters wait."""

import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, FilePath, SecretStr, StringConstraints, model_validator

from shared.domain.configuration import Group, shown
from shared.domain.errors import Misconfigured

Tls = Literal["implicit", "starttls", "none"]
Address = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$", max_length=128)
]
_LONGEST_LOCAL = 20
"""With + and a token of 43 characters it is no longer than a local part may be (RFC 5321, 4.5.3.1.1)."""
_TLS = "encryption: implicit is the port's own, starttls is demanded; none only for a server on this machine"


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def context(ca_file: Path | None, variable: str) -> ssl.SSLContext:
    """Checks the server's certificate by that authority, or by those of the machine.

    Raises:
        Misconfigured: the file is no authority's.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError:
        raise Misconfigured(f"{variable} holds {shown(str(ca_file))}: name a PEM file") from None


class SmtpSettings(Group, prefix="DSR_SMTP_"):
    """The mail server that signs (DKIM) and forwards letters; ``DSR_SMTP_…``."""

    host: str | None = Field(default=None, description="name of the server; none: letters wait until there is one")
    port: int = Field(default=465, ge=1, le=65_535, description="its port")
    tls: Tls = Field(default="implicit", description=_TLS)
    ca_file: FilePath | None = Field(default=None, description="PEM file of who signed its certificate")
    username: str | None = Field(default=None, description="our user there; none: it knows us by our address")
    password: SecretStr | None = Field(default=None, description="that user's password")
    sender: Address | None = Field(default=None, description="address that letters come from and answers go to")
    bounces: Address | None = Field(
        default=None, description="address for bounces, with +token before the @; by default the sender"
    )
    timeout_seconds: float = Field(default=30.0, gt=0, le=600, description="how long an answer of the server may take")
    poll_seconds: float = Field(default=5.0, ge=0.01, le=600, description="how often to look for letters")
    backoff_seconds: float = Field(default=30.0, ge=0.01, le=3_600, description="first pause after a failure; doubles")
    backoff_max_seconds: float = Field(default=3_600.0, ge=0.01, le=86_400, description="longest such pause")
    put_off_hours: float = Field(
        default=48.0, ge=0.01, le=720, description="how long a server may defer a letter (4xx)"
    )

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        if self.host and self.sender is None:
            raise ValueError("DSR_SMTP_SENDER is not set: set it to the address that letters come from")
        if self.host and self.tls == "none" and not _is_here(self.host):
            raise ValueError(
                "DSR_SMTP_TLS holds 'none': letters leave this machine encrypted; set implicit or starttls"
            )
        if (self.username is None) != (self.password is None):
            raise ValueError("DSR_SMTP_USERNAME and DSR_SMTP_PASSWORD belong together: set both, or neither")
        if len(self.return_address.partition("@")[0]) > _LONGEST_LOCAL:
            raise ValueError(
                f"DSR_SMTP_BOUNCES needs at most {_LONGEST_LOCAL} characters before the @: a token follows"
            )
        return self

    @property
    def return_address(self) -> str:
        """Returns the address for bounces, without a token."""
        return self.bounces or self.sender or ""

    def tls_context(self) -> ssl.SSLContext | None:
        """Returns how the server's certificate is checked; raises ``Misconfigured``."""
        return None if self.tls == "none" else context(self.ca_file, "DSR_SMTP_CA_FILE")


class ImapSettings(Group, prefix="DSR_IMAP_"):
    """The mailbox for incoming mail, which is read and not changed; ``DSR_IMAP_…``."""

    host: str | None = Field(default=None, description="name of the server; none: no mailbox is read")
    port: int = Field(default=993, ge=1, le=65_535, description="its port")
    tls: Tls = Field(default="implicit", description=_TLS)
    ca_file: FilePath | None = Field(default=None, description="PEM file of who signed its certificate")
    username: str | None = Field(default=None, description="our user there")
    password: SecretStr | None = Field(default=None, description="that user's password")
    folder: str = Field(default="INBOX", description="the folder that is read")
    addresses: str = Field(default="", description="our own addresses, comma-separated: their mail is no request")
    exchangers: str = Field(
        default="",
        description="names of our mail exchangers as they write them into Received, separated by commas: a mail has"
        " reached us when the topmost of them took it",
    )
    first_days: int = Field(default=30, ge=0, le=366, description="how old a mail may be when a mailbox is first read")
    message_bytes: int = Field(
        default=25 * 2**20, ge=2**16, le=25 * 2**20, description="longest mail kept; of a longer one its head"
    )
    timeout_seconds: float = Field(default=30.0, gt=0, le=600, description="how long an answer of the server may take")
    idle_seconds: float = Field(default=300.0, ge=1, le=1_500, description="how long to idle before asking again")
    backoff_seconds: float = Field(default=10.0, ge=0.01, le=3_600, description="pause before the next connection")

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        if self.host and (self.username is None or self.password is None):
            raise ValueError("DSR_IMAP_USERNAME and DSR_IMAP_PASSWORD are not set: set them, or unset DSR_IMAP_HOST")
        if self.host and self.tls == "none" and not _is_here(self.host):
            raise ValueError("DSR_IMAP_TLS holds 'none': mail comes to this machine encrypted; set another")
        return self

    @property
    def name(self) -> str:
        """Returns the key under which its progress is stored."""
        return f"{self.username}@{self.host}:{self.port}/{self.folder}"

    def tls_context(self) -> ssl.SSLContext | None:
        """Returns how the server's certificate is checked; raises ``Misconfigured``."""
        return None if self.tls == "none" else context(self.ca_file, "DSR_IMAP_CA_FILE")


def listed(text: str) -> frozenset[str]:
    """Returns the items between commas, in small letters."""
    return frozenset(each.strip().lower() for each in text.split(",") if each.strip())
