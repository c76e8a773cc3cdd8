"""The data subject, as the requester states it."""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from services.intake.core.schemas import NFC, NOT_ASKED, Country, Name, Strict
from shared.domain.clock import Moment
from shared.domain.identities import (
    LONGEST_ACCOUNT,
    LONGEST_CLIENT_ID,
    LONGEST_EMAIL,
    LONGEST_NUMBER,
    LONGEST_SIP_URI,
    Identity,
    IdentityType,
    MalformedIdentity,
    normalise,
)
from shared.domain.text import ONE_LINE

Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_EMAIL, pattern=ONE_LINE),
    NFC,
]
AccountId = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_ACCOUNT, pattern=ONE_LINE),
    NFC,
]
ClientId = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_CLIENT_ID, pattern=ONE_LINE),
]
SipUri = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_SIP_URI, pattern=ONE_LINE),
    NFC,
]
Number = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NUMBER, pattern=ONE_LINE)]


class Assigned(Strict):
    """In which time something that passes from one person to the next was the subject's."""

    since: Moment | None = Field(
        default=None,
        description="From when it was the subject's. Numbers change hands: what the company's register of numbers says"
        " decides, and this can only narrow it.",
    )
    until: Moment | None = Field(default=None, description="until when, exclusive; theirs still, if left out")

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.since and self.until and self.until <= self.since:
            raise ValueError("until must come after since: in an empty period nothing would be searched for")
        return self


class PhoneNumber(Assigned):
    """A number of the subject's, and in which time it was theirs."""

    number: Number = Field(description="E.164, or the national form of `region`")
    region: Country | None = Field(default=None, description="ISO 3166 country in which `number` is dialled")


class SipUser(Assigned):
    """A SIP user or extension with its domain that was the subject's, and in which time."""

    address: SipUri = Field(description="the user, or the extension, with its domain: `1001@sip.example.com`")


_SINGLE = (
    IdentityType.EMAIL,
    IdentityType.ACCOUNT_ID,
    IdentityType.CLIENT_ID,
    IdentityType.SIP_URI,
    IdentityType.NAME,
)
"""Fields that are one value each."""


class DataSubject(Strict):
    """The data subject in the requester's words; at least one identity that a system can be searched by."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "you@example.org"}]})

    name: Name | None = None
    email: Email | None = Field(default=None, title="E-mail address")
    phones: Annotated[tuple[PhoneNumber, ...], Field(max_length=50)] = Field(
        default=(), title="Telephone numbers", description="with the country code, or as dialled in the `country`"
    )
    account_id: AccountId | None = Field(default=None, title="Account")
    client_id: ClientId | None = Field(
        default=None,
        description="what the website keeps in the subject's browser: it finds visits without sign-in",
        json_schema_extra=NOT_ASKED,
    )
    sip_uri: SipUri | None = Field(
        default=None, description="short for one of `sip_uris`, of all time", json_schema_extra=NOT_ASKED
    )
    sip_uris: Annotated[tuple[SipUser, ...], Field(max_length=50)] = ()
    country: Country | None = Field(
        default=None, description="where the subject lives, ISO 3166; decides zones and holidays"
    )

    @model_validator(mode="after")
    def _one_person(self) -> Self:
        if self.sip_uri and self.sip_uris:
            raise ValueError("give sip_uri or sip_uris, and not both")
        if not (self.email or self.phones or self.account_id or self.client_id or self.sip_uri or self.sip_uris):
            raise ValueError(
                "give at least one of email, phones, account_id, client_id, sip_uri, sip_uris: a name alone does not"
                " identify a person"
            )
        return self

    def identities(self) -> Iterator[Identity]:
        """Each identity in its one spelling, and once; a number once for each period in which it was theirs.

        Raises ``MalformedIdentity``.
        """
        for kind in _SINGLE:
            if value := getattr(self, kind):
                yield Identity(kind, _normalised(kind, value, None, kind))
        numbers: dict[Identity, None] = {}
        spelled: dict[tuple[str, str | None], str] = {}
        for place, phone in enumerate(self.phones):
            said = (phone.number, phone.region)
            if said not in spelled:  # reading one takes its time
                spelled[said] = _normalised(IdentityType.PHONE, *said, f"phones.{place}.number")
            numbers[Identity(IdentityType.PHONE, spelled[said], phone.since, phone.until)] = None
        for place, user in enumerate(self.sip_uris):
            address = _normalised(IdentityType.SIP_URI, user.address, None, f"sip_uris.{place}.address")
            numbers[Identity(IdentityType.SIP_URI, address, user.since, user.until)] = None
        yield from numbers


def _normalised(kind: IdentityType, value: str, region: str | None, field: str) -> str:
    try:
        return normalise(kind, value, region)
    except MalformedIdentity as error:
        raise MalformedIdentity(str(error), f"subject.{field}") from None
