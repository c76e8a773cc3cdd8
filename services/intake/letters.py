"""The words of a letter to the subject: a template of the policy filled in, with the authority and the remedy; pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from services.intake.settings import IntakeSettings
from shared.domain.time_limit_policy import Question
from shared.domain.toml_file import read_toml

_BLANK_LINES = re.compile(r"\n{3,}")
LETTERS = Path(__file__).parents[2] / "shared" / "policy" / "letters"

LetterKind = Literal[
    "extension",
    "identity_question",
    "clarification_question",
    "proof_question",
    "question_reminder",
    "identity_last_notice",
    "clarification_last_notice",
    "proof_last_notice",
    "reopened",
    "forwarded",
    "forwarded_part",
    "reminder_to_controller",
    "refusal",
    "partial",
    "duplicate",
    "objection_weighed",
    "acknowledgement",
    "completion",
    "no_data",
    "unidentified",
    "withdrawal",
    "assisted",
    "lifting",
    "erasure_opposed",
    "notice_to_old_contact",
    "package_withheld",
    "package_released",
    "part_ended",
]
KINDS: tuple[LetterKind, ...] = get_args(LetterKind)
TO_CONTROLLER: frozenset[LetterKind] = frozenset({"reminder_to_controller"})
"""What goes to a customer of ours, and is no letter to the subject."""
LetterOf = tuple[LetterKind, Mapping[str, str | date]]
"""A letter to be written: its kind, and what its template needs; ``to``: to whom, if not to who has asked."""


def letter_date(day: date) -> str:
    """A day as the subject reads it; of an instant, the day in UTC."""
    return _in_words(day.year, day.month, day.day)


@cache
def _in_words(year: int, month: int, day: int) -> str:
    return f"{date(year, month, day):%d %B %Y}"


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter as the subject reads it."""

    subject: str
    body: str


class Letters:
    """The templates of a folder, read once."""

    def __init__(self, folder: Path = LETTERS, settings: IntakeSettings | None = None) -> None:
        self._settings = settings or IntakeSettings()
        self._templates = {kind: read_toml(folder / f"{kind}.toml", dict[str, Any]) for kind in (*KINDS, "remedies")}

    def write(self, kind: LetterKind, country: str | None, fields: Mapping[str, str | date]) -> Letter:
        """The letter of that kind, with where to complain in that country (ISO 3166), or else with every way to do so.

        What goes to a customer of ours names no authority.

        A field ``besides`` is a paragraph that stands before that. What people wrote stands in it as they wrote it, and
        days as ``letter_date`` says them.

        Raises:
            KeyError: a field of the template is not given.
        """
        template, remedies = self._templates[kind], self._templates["remedies"]
        words = {name: letter_date(value) if isinstance(value, date) else value for name, value in fields.items()}
        if causes := template.get("causes"):  # one of several sentences says why
            words["why"] = causes[words["cause"]].format_map(words).strip()
        paragraphs = [_BLANK_LINES.sub("\n\n", template["body"].format_map(words)), words.get("besides", "")]
        if kind not in TO_CONTROLLER:
            authorities = remedies["authority"]
            authority = authorities.get(country or "", authorities["elsewhere"])
            paragraphs.append(remedies["text"].format(authority=authority))
        said = (each.strip() for each in paragraphs)
        return Letter(template["subject"], "{}\n".format("\n\n".join(filter(None, said))))

    def fetch(self, now: datetime) -> str:
        """Where a copy can be fetched that is made available now, until when and how often."""
        until = letter_date(now + timedelta(days=self._settings.package_days))
        template: str = self._templates["completion"]["fetch"]
        return template.format(until=until, times=self._settings.package_downloads).strip()

    def reason(self, code: str) -> str:
        """The reason of an extension, in words."""
        return str(self._templates["extension"]["reasons"][code])

    def finding(self, code: str) -> str:
        """What the weighing of an objection has found, in words."""
        return str(self._templates["objection_weighed"]["findings"][code])

    def standing(self, question: Question) -> str:
        """How somebody is asked without a person: who they are, or by what else they are known."""
        return str(self._templates[f"{question}_question"]["standing"]).strip()

    def proof(self, systems: Sequence[str], level: str | None) -> str:
        """How somebody is asked for proof without a person: for what it is needed, and what would be enough."""
        template = self._templates["proof_question"]
        enough = template["enough"][level or "L3"]
        return str(template["standing"].format(systems=", ".join(systems), enough=enough)).strip()

    def controller(self, name: str | None) -> str:
        """The customer to whom a request was passed on, by name or, where the contract forbids it, without."""
        return name or str(self._templates["forwarded"]["unnamed"])

    def part_forwarded(self, controller: str, forwarded_at: date) -> str:
        """That a customer has the part of a request that they decide about."""
        said: str = self._templates["forwarded_part"]["besides"]["forwarded"]
        return said.format(controller=controller, forwarded_on=letter_date(forwarded_at))

    def part_not_forwarded(self) -> str:
        """That a customer does not have yet the part of a request that they decide about."""
        return str(self._templates["forwarded_part"]["besides"]["not_yet"])
