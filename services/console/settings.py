"""Settings of the console; ``DSR_CONSOLE_…``. Without an identity provider there is none."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from services.console.roles import Role
from services.web.guard import origin
from shared.domain.configuration import Group


def issuer_url(url: str) -> str:
    """The address of an identity provider, which may have a path; raises ``ValueError`` if it is none."""
    scheme, _, rest = url.partition("://")
    origin(f"{scheme}://{rest.partition('/')[0]}")
    if "?" in url or "#" in url:
        raise ValueError("not an issuer")
    return url


class ConsoleSettings(Group, prefix="DSR_CONSOLE_"):
    """Where people reach it, who says who they are and what they may do, and when they must sign in again."""

    issuer: Annotated[str, AfterValidator(issuer_url)] | None = Field(
        default=None,
        description="issuer of the identity provider (OpenID Connect), as it names itself; https, or http on this"
        " machine; without it there is no console",
    )
    url: Annotated[str, AfterValidator(origin)] = Field(
        default="http://127.0.0.1:8080",
        description="scheme and host by which people reach it, as https://privacy.example.com; http on this machine"
        " alone",
    )
    client_id: str = Field(default="dsr-console", description="as which the provider knows the console")
    client_secret: SecretStr | None = Field(
        default=None, description="its secret there; without one it is a public client, and PKCE alone binds the code"
    )
    holder_claim: str = Field(
        default="preferred_username",
        description="claim with the account, as the holder of their API key: a reference to an account, never"
        " changed or given to another person, and no name",
    )
    roles_claim: str = Field(
        default="roles",
        description="claim that lists roles; one that lies in another is named with a dot, as realm_access.roles",
    )
    handler: str = Field(default="dsr-handler", description="what that claim says of a handler")
    approver: str = Field(default="dsr-approver", description="what it says of an approver")
    auditor: str = Field(default="dsr-auditor", description="what it says of an auditor")
    admin: str = Field(default="dsr-admin", description="what it says of an administrator")
    amr: str = Field(
        default="mfa",
        description="values of `amr` (RFC 8176), separated by commas: each says that there was a second factor",
    )
    acr: str = Field(
        default="",
        description="values of `acr`, separated by commas, each of which says so, too; they are asked for",
    )
    skew_seconds: int = Field(default=60, ge=0, le=300, description="how far the provider's clock may be from ours")
    idle_minutes: int = Field(default=30, ge=5, le=240, description="minutes after which an unused session ends")
    session_hours: int = Field(
        default=8, ge=1, le=12, description="hours after which any session ends, and roles are read again"
    )
    pages_a_second: float = Field(
        default=10.0, gt=0, le=1_000_000, description="pages a second of one address; thirty times as many in a burst"
    )
    traces: str | None = Field(
        default=None,
        description="address of a trace, in which {trace} stands for its id; a request that is traced leads to its own",
    )

    @property
    def named(self) -> Mapping[str, Role]:
        """Returns the role of each value of the claim."""
        return {getattr(self, role): role for role in Role}

    @property
    def second_factors(self) -> tuple[frozenset[str], frozenset[str]]:
        """The values of ``amr`` and of ``acr`` that say that there was a second factor."""
        return _listed(self.amr), _listed(self.acr)


def _listed(text: str) -> frozenset[str]:
    return frozenset(each.strip() for each in text.split(",") if each.strip())
