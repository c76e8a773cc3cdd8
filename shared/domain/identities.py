"""Normalises what identifies a person; numbers are bound to the period in which they were theirs."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from urllib.parse import unquote

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberDesc

from shared.domain.errors import DsrError
from shared.domain.rights import NOTHING, Level
from shared.domain.text import in_letters, nfc


class IdentityType(StrEnum):
    """The kinds of identity that systems need and yield."""

    EMAIL = "email"
    PHONE = "phone"
    ACCOUNT_ID = "account_id"
    SIP_URI = "sip_uri"
    CLIENT_ID = "client_id"  # what a website keeps in a browser
    NAME = "name"  # never searched by alone: only to re-check a hit


@dataclass(frozen=True, slots=True)
class Identity:
    """One identity of a subject.

    - ``value``: normalised (e-mail lower-case, phone E.164, SIP host lower-case)
    - ``valid_from``, ``valid_to``: UTC, half-open, the period in which a number was the subject's; a number without
      ``valid_from`` proves nothing about past calls
    - ``source``: ``requester``, or the name of a downstream
    - ``proved_since``: since when a channel vouches that the requester controls the number
    - ``level``: how well it is proved to be the requester's (``shared.domain.proofs``)
    - ``together``: proved by two contact points, as long as the register confirms it (``shared.domain.assignments``)
    - ``shared``: the system that yielded it knows it as other people's too
    - ``claimed``: an account named in a row of a system that does not assign accounts, where any can be named
    """

    type: IdentityType
    value: str
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    source: str = "requester"
    proved_since: datetime | None = None
    level: Level = "L0"
    together: bool = False
    shared: bool = False
    claimed: bool = False


def marked_as_shared(identities: Iterable[Identity], known: Iterable[Identity]) -> tuple[Identity, ...]:
    """Returns the identities for a system, marked as shared if any system knows them as other people's too."""
    shared = {(each.type, each.value) for each in known if each.shared}
    return tuple(
        replace(each, shared=True) if not each.shared and (each.type, each.value) in shared else each
        for each in identities
    )


def confirmed_accounts(identities: Iterable[Identity], known: Iterable[Identity]) -> tuple[Identity, ...]:
    """Returns the identities for a system; an account that is proved or yielded by the register is no claim."""
    vouched = {
        (each.type, each.value)
        for each in known
        if not each.claimed and (each.source != "requester" or each.level > NOTHING)
    }
    return tuple(
        replace(each, claimed=False) if each.claimed and (each.type, each.value) in vouched else each
        for each in identities
    )


def ended_identities(known: Iterable[Identity]) -> tuple[Identity, ...]:
    """Returns identities whose period has ended: today they may identify another person."""
    every = tuple(known)
    current = {(each.type, each.value) for each in every if each.valid_to is None}
    return tuple(each for each in every if each.valid_to is not None and (each.type, each.value) not in current)


class MalformedIdentity(DsrError):
    """The value is no identity of that type; the message says why and never repeats the value."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


_EMAIL = re.compile(r"[^\s@<>(),;:\\\"\[\]\x00-\x1f\x7f]+@[^\s@<>(),;:\\\"\[\]\x00-\x1f\x7f]+")
_DOMAIN = re.compile(r"(?!-)[\w-]{1,63}(?<!-)(?:\.(?!-)[\w-]{1,63}(?<!-))+")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_EXTENSION = re.compile(r"(?i)(?:;ext=|\b(?:extension|extn|ext|x)[\s.:]*)\d{1,7}$")  # no part of E.164
_DIALLED = re.compile(r"[0-9+().\-/ \u00a0\u2000-\u200a\u202f\u3000]+")
LONGEST = 500
"""Characters of any identity, in whatever spelling: nothing longer is looked at."""
LONGEST_EMAIL, LONGEST_NAME, LONGEST_ACCOUNT, LONGEST_NUMBER, LONGEST_SIP_URI = 254, 200, 128, 32, 255
LONGEST_CLIENT_ID = 128
_LONGEST_LOCAL_PART = 64
_CALLING_CODE_DIGITS = 3
_KINDS: Callable[[PhoneMetadata], tuple[PhoneNumberDesc | None, ...]] = attrgetter(
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost"),
    *("personal_number", "voip", "pager", "uan", "voicemail"),
)


def normalise(type: IdentityType, raw: str, region: str | None = None) -> str:  # noqa: A002
    """The one spelling of an identity.

    ``region``: ISO 3166 code in which a number without country code was dialled: the trunk's or tenant's, never the
    reader's. Raises ``MalformedIdentity``.
    """
    if len(raw) > LONGEST:
        raise MalformedIdentity("longer than anybody's identity is")
    return _NORMALISERS[type](nfc(raw), region)


def _email(raw: str, _region: str | None) -> str:
    given = raw.strip()
    value = given.lower()
    if len(value) != len(given):  # İ: databases disagree about its small letter, and would not find it
        raise MalformedIdentity("not an e-mail address that every system writes alike")
    local, _, domain = value.rpartition("@")
    if (
        len(value) > LONGEST_EMAIL
        or not value.isprintable()
        or len(local) > _LONGEST_LOCAL_PART
        or not _EMAIL.fullmatch(value)
        or not _DOMAIN.fullmatch(domain)
        or local.startswith(".")
        or local.endswith(".")
        or ".." in local
    ):
        raise MalformedIdentity("not an e-mail address")
    return in_letters(value)


def _phone(raw: str, region: str | None) -> str:
    # What is E.164 already, as nearly all that comes in is, must not cost a full parse.
    if _E164.fullmatch(raw) and _is_valid(raw[1:]):
        return raw
    value = raw.strip()
    scheme, colon, rest = value.partition(":")
    if colon and scheme.lower() in {"sip", "sips"}:
        value = unquote(rest.partition("@")[0].partition(";")[0])
    elif colon and scheme.lower() == "tel":
        value = unquote(rest)
    elif "@" in value:
        value = value.partition("@")[0]
    value = value.strip()
    if len(value) > LONGEST_NUMBER:  # before anything that takes its time with long ones
        raise MalformedIdentity("not a telephone number: none has so many characters")
    value = _EXTENSION.sub("", value).rstrip(" \t,;").partition(";")[0].strip()
    if not _DIALLED.fullmatch(value):
        raise MalformedIdentity("not a telephone number")
    if value.startswith("000"):
        raise MalformedIdentity("a telephone number with two trunk prefixes; give it as + and country code")
    # 00 and a country code is how one dials abroad; phonenumbers knows it only with the caller's region.
    return _parsed("+" + value[2:] if value.startswith("00") else value, region)


def _parsed(value: str, region: str | None) -> str:
    # No guessing without a region: 4155550132 is a line in San Francisco, and with a + before it one in Switzerland.
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException as unreadable:
        raise MalformedIdentity("not a telephone number; give it as + and country code") from unreadable
    if not phonenumbers.is_valid_number(number):
        raise MalformedIdentity("not a valid telephone number; give it as + and country code")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@lru_cache(maxsize=300)
def _plan(calling_code: str) -> re.Pattern[str] | None:
    """Returns one pattern for all valid national numbers of a calling code."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(calling_code))
    if regions is None:
        return None
    plans = [
        PhoneMetadata.metadata_for_nongeo_region(int(calling_code))
        if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY
        else PhoneMetadata.metadata_for_region(region)
        for region in regions
    ]
    return re.compile("|".join(_region_pattern(plan) for plan in plans if plan is not None))


def _region_pattern(plan: PhoneMetadata) -> str:
    patterns = {kind.national_number_pattern for kind in _KINDS(plan) if kind and kind.national_number_pattern}
    general = plan.general_desc.national_number_pattern if plan.general_desc else None
    return f"(?=(?:{general})\\Z)(?:{'|'.join(sorted(patterns))})" if patterns else r"(?!)"


def _is_valid(digits: str) -> bool:
    for length in range(1, _CALLING_CODE_DIGITS + 1):
        plan = _plan(digits[:length])
        if plan is not None:
            return plan.fullmatch(digits, length) is not None
    return False


@lru_cache(maxsize=10_000)
def country_of_number(value: str) -> str | None:
    """Returns the country of a number in E.164; None: it is of none, or not valid."""
    for end in range(2, _CALLING_CODE_DIGITS + 2) if _E164.fullmatch(value) else ():
        if regions := phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(value[1:end])):
            known = regions[0] if len(regions) == 1 else phonenumbers.region_code_for_number(phonenumbers.parse(value))
            return known if known in phonenumbers.SUPPORTED_REGIONS else None
    return None


def _sip_uri(raw: str, _region: str | None) -> str:
    value = raw.strip().strip("<>")
    scheme, colon, rest = value.partition(":")
    if not colon or scheme.lower() not in {"sip", "sips"}:
        rest = value
    user, at, host = rest.partition("@")
    host = host.partition(";")[0].partition("?")[0].lower()
    user = unquote(user.partition(";")[0].partition(":")[0])
    if not at or not user or not re.fullmatch(r"(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?", host):
        raise MalformedIdentity("not a SIP address of the form sip:user@host")
    if " " in user or not user.isprintable():
        raise MalformedIdentity("not a SIP address: white space in the user part")
    if len(user) + len(host) > LONGEST_SIP_URI:
        raise MalformedIdentity("not a SIP address: too long")
    return f"sip:{nfc(user)}@{host}"


def _account_id(raw: str, _region: str | None) -> str:
    value = raw.strip()
    if not value or len(value) > LONGEST_ACCOUNT or not re.fullmatch(r"[\w.:/\-]+", value):
        raise MalformedIdentity("not an account id")
    return value


def _client_id(raw: str, _region: str | None) -> str:
    value = raw.strip()
    if not re.fullmatch(rf"[A-Za-z0-9._\-]{{16,{LONGEST_CLIENT_ID}}}", value):  # a short one could be guessed
        raise MalformedIdentity("not a client id of a browser: 16 letters, digits, . _ - or more")
    return value


def _name(raw: str, _region: str | None) -> str:
    value = " ".join(raw.split())
    if not value or len(value) > LONGEST_NAME or not value.isprintable():
        raise MalformedIdentity("not a name")
    return value


_NORMALISERS: Mapping[IdentityType, Callable[[str, str | None], str]] = {
    IdentityType.EMAIL: _email,
    IdentityType.PHONE: _phone,
    IdentityType.SIP_URI: _sip_uri,
    IdentityType.ACCOUNT_ID: _account_id,
    IdentityType.CLIENT_ID: _client_id,
    IdentityType.NAME: _name,
}
