"""Bodies of the API: every value is checked and normalised, and nothing undeclared is accepted."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from shared.domain.identities import (
    LONGEST_ACCOUNT,
    LONGEST_CLIENT_ID,
    LONGEST_EMAIL,
    LONGEST_NAME,
    LONGEST_NUMBER,
    LONGEST_SIP_URI,
    Identity,
    IdentityType,
    MalformedIdentity,
    normalise,
)
from shared.domain.levels import Level
from shared.domain.moments import Moment
from shared.domain.operations import Changes
from shared.domain.rights import Right, Role
from shared.domain.text import ONE_LINE, Word, nfc
from shared.domain.user_events import Reference
from shared.domain.wording import Language

NFC = AfterValidator(nfc)
"""Text in one form of Unicode."""
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME, pattern=ONE_LINE),
    NFC,
]
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
Country = Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]


class Strict(BaseModel):
    """A body of which every field is declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


IdentityField = Annotated[
    str, StringConstraints(pattern=r"^(email|account_id|client_id|sip_uri|(phones|sip_uris)\.\d{1,3})$")
]
Method = Annotated[str, StringConstraints(pattern="^[a-z0-9_]{1,64}$")]


class IdentityProof(Strict):
    """That one of the identities is the requester's, and how the channel knows."""

    identity: IdentityField = Field(
        examples=["phones.0"], description="the field of `subject` that holds it; a number or SIP user by its place"
    )
    method: Method = Field(examples=["sms_code"], description="one of the policy's; it says how much this proves")
    proved_at: Moment | None = Field(default=None, description="when it was proved; now, if left out")
    on_file_since: Moment | None = Field(
        default=None, description="since when it is on file as theirs, or else proved; what is not for long proves less"
    )


Proofs = Annotated[tuple[IdentityProof, ...], Field(max_length=50)]
PROOFS_OF = "what was proved: of which identity, by which method, when; it proves nothing of the others"


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
"""Of which there is one."""


class DataSubject(Strict):
    """Who the request is about, in the requester's words; at least one identity that a system can be searched by."""

    name: Name | None = None
    email: Email | None = None
    phones: Annotated[tuple[PhoneNumber, ...], Field(max_length=50)] = ()
    account_id: AccountId | None = None
    client_id: ClientId | None = Field(
        default=None,
        description="what the website keeps in the subject's browser: it finds visits without sign-in",
    )
    sip_uri: SipUri | None = Field(default=None, description="short for one of `sip_uris`, of all time")
    sip_uris: Annotated[tuple[SipUser, ...], Field(max_length=50)] = ()
    country: Country | None = Field(
        default=None, description="where the subject lives, ISO 3166; decides zones and holidays"
    )

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.sip_uri and self.sip_uris:
            raise ValueError("give sip_uri or sip_uris, and not both")
        if not (self.email or self.phones or self.account_id or self.client_id or self.sip_uri or self.sip_uris):
            raise ValueError(
                "give at least one of email, phones, account_id, client_id, sip_uri, sip_uris: a name alone finds"
                " nobody for certain"
            )
        return self

    def identities(self) -> Iterator[Identity]:
        """Each identity in its one spelling, and once; a number once for each period in which it was theirs.

        Raises:
            MalformedIdentity: a value cannot be one of its type; names its field
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


class Assurance(Strict):
    """The short form of a proof: of the identities that the method can prove, all that are stated."""

    level: Level = Field(
        description="`L0`: an identifier, and nothing more. `L1`: control of one contact point of record. `L2`: signed"
        " in with a second factor, or control of two contact points. `L3`: a person has looked, where `L2` cannot be"
        " had and much harm could be done. No method proves more than the policy says."
    )
    method: Method = Field(
        examples=["signed_in_mfa"],
        description="one of the policy's methods; a number is proved by it only where it is the only one stated",
    )


class Submission(Strict):
    """One data subject request."""

    right: Right
    subject: DataSubject
    language: Language | None = Field(
        default=None,
        description="what the subject reads, and is written to in; if left out, that of `country` in the policy, or"
        " English. Of an instruction, what the customer reads.",
    )
    changes: Changes = Field(default=(), description="of a rectification, and only there: what is to be corrected")
    contested: bool = Field(
        default=False, description="of a rectification, and only there: restrict the data until it is corrected"
    )
    ground: Literal["accuracy_contested", "unlawful", "needed_for_claims", "objection_pending"] | None = Field(
        default=None, description="of a restriction, and only there: its ground (Art. 18(1))"
    )
    scope: Literal["direct_marketing", "legitimate_interests"] | None = Field(
        default=None, description="of an objection, and only there: to what (Art. 21)"
    )
    purposes: Annotated[tuple[Word, ...], Field(max_length=20)] = Field(
        default=(),
        examples=[["marketing"]],
        description="of a withdrawal of consent, and only there: to what, as the policy names purposes (Art. 7(3))",
    )
    consent_text: Reference | None = Field(
        default=None,
        description="of a withdrawal of consent, and only there: which version of the text they had consented to",
    )
    at_once: bool = Field(
        default=False, description="of an erasure, and only there: it must not wait for the answer to other requests"
    )
    packages_waived: bool = Field(
        default=False,
        description="of an erasure, and only there: it removes packages of earlier requests before their days are over",
    )
    received_at: Moment | None = Field(default=None, description="when it reached the company; now, if left out")
    channel: Literal["api", "email", "post"] = Field(
        default="api",
        description="how they have asked, and are answered: by e-mail and post the privacy team enters it",
    )
    assurance: Assurance | None = Field(default=None, description="without this and `proofs` nothing is proved")
    proofs: Proofs = Field(default=(), description=PROOFS_OF)
    role: Role = Field(
        default="controller",
        description="what we are for the data; processor: a customer of ours decides, and we only forward; both: a"
        " customer decides about a part, which we forward, and we answer ours",
    )
    instruction_id: Reference | None = Field(
        default=None,
        description="of an instruction that comes with a customer's key, and only there: the customer's own reference,"
        " which says nothing of the person. We carry it out in that customer's data alone (Art. 28(3)(a)).",
    )

    @model_validator(mode="after")
    def _fits_the_right(self) -> Self:
        if (self.right is Right.RECTIFICATION) != bool(self.changes):
            raise ValueError("changes belong to a rectification, and a rectification needs at least one")
        if self.contested and self.right is not Right.RECTIFICATION:
            raise ValueError("contested belongs to a rectification: whoever contests accuracy says what is right")
        if (self.right is Right.RESTRICTION) != (self.ground is not None):
            raise ValueError("a ground (Art. 18(1)) belongs to a restriction, and a restriction needs one")
        if (self.right is Right.OBJECTION) != (self.scope is not None):
            raise ValueError("a scope (Art. 21) belongs to an objection, and an objection needs one")
        if self.instruction_id and self.role != "controller":
            raise ValueError("an instruction is carried out, and not forwarded to the customer who gives it: no role")
        if self.instruction_id and self.scope == "legitimate_interests":
            raise ValueError("you weigh such an objection: instruct what follows from it, a restriction or an erasure")
        if self.channel == "email" and self.subject.email is None:
            raise ValueError("subject.email is needed where they have asked by e-mail: the answer goes there")
        if (self.at_once or self.packages_waived) and self.right is not Right.ERASURE:
            raise ValueError(
                "at_once and packages_waived belong to an erasure: nothing else waits, or removes a package"
            )
        return self

    @model_validator(mode="after")
    def _says_to_what_consent_is_withdrawn(self) -> Self:
        if (self.right is Right.CONSENT_WITHDRAWAL) != bool(self.purposes):
            raise ValueError("purposes (Art. 7(3)) belong to a withdrawal of consent, which needs at least one")
        if self.consent_text and not self.purposes:
            raise ValueError("consent_text belongs to a withdrawal of consent: it is what they had consented to")
        if len({*self.purposes}) < len(self.purposes):
            raise ValueError("purposes names one of them twice: name each once")
        return self


def scope_of(submission: Submission) -> str | None:
    """What narrows the right: the ground of a restriction, also of the interim one, or to what somebody objects."""
    return "accuracy_contested" if submission.contested else submission.ground or submission.scope


class Batch(Strict):
    """Up to 1,000 requests, accepted together or not at all."""

    requests: Annotated[tuple[Submission, ...], Field(min_length=1, max_length=1000)]


class Verification(Strict):
    """What the requester has proved since."""

    assurance: Assurance | None = None
    proofs: Proofs = Field(default=(), description=PROOFS_OF)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.assurance is None and not self.proofs:
            raise ValueError("say what was proved: give proofs, or assurance")
        return self
