"""What a mail seems to ask for, about whom and in which language: a proposal to the person who reads it; pure.

The words are policy (``shared/policy/mail.toml``). Whoever proposes nothing proposes well: a person decides.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import phonenumbers
from pydantic import BaseModel, ConfigDict, field_validator

from services.intake.mail.incoming import Incoming
from shared.domain.rights import Right
from shared.domain.text import folded
from shared.domain.toml_file import read_toml
from shared.domain.wording import Language

POLICY = Path(__file__).parents[3] / "shared" / "policy" / "mail.toml"
_MOST = 20
Words = Mapping[Language, Sequence[str]]


class IdentityWords(BaseModel):
    """How a customer number looks, and where a number without a country code is dialled (ISO 3166)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_id: str
    region: str

    @field_validator("account_id")
    @classmethod
    def _is_a_pattern(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error:
            raise ValueError("must be a regular expression") from None
        return pattern


class MailPolicy(BaseModel):
    """By which words a mail is taken to ask for what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rights: Mapping[Right, Words]
    languages: Words
    identities: IdentityWords


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a person may confirm: rights in the order of the policy, identities as they are written, a language."""

    rights: Sequence[Right] = ()
    language: Language | None = None
    email: str | None = None
    name: str | None = None
    account_id: str | None = None
    phones: Sequence[str] = field(default=())


@cache
def mail_policy(path: Path = POLICY) -> MailPolicy:
    """The policy in that file; raises ``Misconfigured`` if it cannot be used."""
    return read_toml(path, MailPolicy)


def propose(mail: Incoming, policy: MailPolicy) -> Proposal:
    """What a mail seems to ask for, by its own words: what it quotes is not its own."""
    own = "\n".join(line for line in mail.text.splitlines() if not line.lstrip().startswith(">"))
    text = folded(f"{mail.subject}\n{own}")
    rights = [right for right, words in policy.rights.items() if any(_has(text, each) for each in _all(words))]
    account = re.search(policy.identities.account_id, f"{mail.subject}\n{own}")
    return Proposal(
        rights=rights,
        language=_language(text, policy.languages),
        email=mail.sender or None,
        name=mail.name or None,
        account_id=account[0] if account else None,
        phones=_phones(own, policy.identities.region),
    )


def _all(words: Words) -> list[str]:
    return [word for of_language in words.values() for word in of_language]


def _has(text: str, word: str) -> bool:
    pattern = re.escape(folded(word.rstrip("*")))
    return re.search(rf"\b{pattern}" if word.endswith("*") else rf"\b{pattern}\b", text) is not None


def _language(text: str, languages: Words) -> Language | None:
    """The one of whose words there are most; None where none leads."""
    counts = sorted(
        ((sum(_has(text, word) for word in words), each) for each, words in languages.items()), reverse=True
    )
    (most, language), (second, _), *_ = counts
    return language if most > second else None


def _phones(text: str, region: str) -> list[str]:
    found = phonenumbers.PhoneNumberMatcher(text, region)
    numbers = (phonenumbers.format_number(each.number, phonenumbers.PhoneNumberFormat.E164) for each in found)
    return list(dict.fromkeys(numbers))[:_MOST]
