"""Proposes to the person who reads a mail what is certain: rights, and whom it is about; pure.

The words are policy (``shared/policy/mail.toml``). Where anything is in doubt the person decides.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import phonenumbers
from pydantic import BaseModel, ConfigDict

from shared.domain.mail_content import NOT_VISIBLE, MailContent, MailProposal
from shared.domain.rights import Right
from shared.domain.text import folded
from shared.domain.toml_file import read_toml

POLICY = Path(__file__).parents[3] / "shared" / "policy" / "mail.toml"
_PHONES, _TRIES, _CERTAIN = 20, 200, 2
"""Limits: numbers proposed, candidates tried per country, and rights proposed for one mail."""
_SENTENCE: Final = re.compile(r"(?<=[.!?;:])\s+(?=[A-ZÀ-Þ¿¡*•-])|\n\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s)")
_ARTICLE: Final = re.compile(r"\bart(?:icle|ikel|iculo|icolo|s)?\.? ?(\d+)")
_RIGHTS: Final = dict(zip(("15", "16", "17", "18", "20", "21"), Right, strict=False))
"""Rights by article."""


class MailPolicy(BaseModel):
    """Words by which a mail asks for a right."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rights: Mapping[Right, Sequence[str]]
    negations: Sequence[str]
    for_another: Sequence[str]
    urgent: Sequence[str]
    account_id: re.Pattern[str]
    regions: Sequence[str]


@cache
def mail_policy(path: Path = POLICY) -> MailPolicy:
    """Reads the policy; raises ``Misconfigured`` if it cannot be used."""
    return read_toml(path, MailPolicy)


def propose(mail: MailContent, words: str, policy: MailPolicy, *, forwards: bool) -> MailProposal:
    """Builds a proposal from the writer's visible words; ``forwards``: the mail forwards another person's."""
    sentences = [folded(each) for each in _SENTENCE.split(words)]
    asked = [right for right in policy.rights if any(_asks(each, right, policy) for each in sentences)]
    rights = asked if len(asked) <= _CERTAIN else []
    for_another = any(_rest(each, line) is not None for each in sentences for line in policy.for_another)
    seen = "\n".join(line for line in mail.text.splitlines() if not line.startswith(NOT_VISIBLE))
    everything = folded(f"{mail.subject}\n{seen}")
    found = MailProposal(
        rights=rights,
        mentioned=[right for right in asked if right not in rights],
        no_subject="forwards" if forwards else "for_another" if for_another else None,
        urgent=[found[0] for line in policy.urgent if (found := _patterns(line)[0].search(everything))],
    )
    if found.no_subject:
        return found
    accounts = dict.fromkeys(policy.account_id.findall(words))
    return replace(
        found,
        email=mail.sender or None,
        name=mail.name or None,
        account_id=next(iter(accounts)) if len(accounts) == 1 else None,
        phones=_phones(words, policy.regions),
    )


def _asks(sentence: str, right: Right, policy: MailPolicy) -> bool:
    """Returns whether it asks for that without a negation, except as in ``no advertising``."""
    if any(_RIGHTS.get(each) is right for each in _ARTICLE.findall(sentence)):
        rests = [sentence]
    else:
        rests = [rest for line in policy.rights[right] if (rest := _rest(sentence, line)) is not None]
    return any(all(_rest(rest, line) is None for line in policy.negations) for rest in rests)


def _rest(sentence: str, line: str) -> str | None:
    """Returns the sentence without the words of a policy line; None if it lacks one."""
    for each in _patterns(line):
        sentence, found = each.subn(" ", sentence)
        if not found:
            return None
    return sentence


@cache
def _patterns(line: str) -> list[re.Pattern[str]]:
    """Compiles a policy line: ``+`` joins required parts, ``|`` is or, ``*`` is any letters."""
    return [
        re.compile(r"\s".join(rf"(?<!\w)(?:{_either(word)})(?!\w)" for word in part.split()))
        for part in line.split(" + ")
    ]


def _either(word: str) -> str:
    return "|".join(re.escape(folded(each)).replace(r"\*", r"\w*") for each in word.split("|"))


def _phones(text: str, regions: Sequence[str]) -> list[str]:
    """Returns phone numbers as written; an officer adds a missing country."""
    found: dict[int, str] = {}
    for region in regions:
        for each in phonenumbers.PhoneNumberMatcher(text, region, max_tries=_TRIES):
            found.setdefault(each.start, each.raw_string)
    return list(dict.fromkeys(found[start] for start in sorted(found)))[:_PHONES]
