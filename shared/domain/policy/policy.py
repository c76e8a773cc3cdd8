"""The policy as a whole: what its parts say of one another must hold together; pure."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field

from shared.domain.countries import UNION
from shared.domain.holds import LEGAL_HOLD
from shared.domain.policy.categories import Category, Data, OnErasure, Other, Purpose, Redaction, Words
from shared.domain.policy.parties import Authority, Called, Controller, Law, Officer, Recipient
from shared.domain.policy.periods import Release, release
from shared.domain.policy.rules import AtCeiling, Ceiling, Jurisdiction, NoticeRow, PartSignOff, Rule
from shared.domain.text import Word

Part = Literal["categories", "parties", "redaction", "identity", "suppression"]
"""A part of the policy that the DPO signs as a whole, each a file: copies tell people what it says."""
_TABLES: Final[Mapping[Part, frozenset[str]]] = {
    "categories": frozenset({"purposes", "categories"}),
    "parties": frozenset({"controller", "officer", "recipients"}),
    "redaction": frozenset({"redaction"}),
    "identity": frozenset(),
    "suppression": frozenset(),
}
"""The tables of each part; one without is a file that the policy holds as it is."""


class Contradiction(NamedTuple):
    """Two parts of the policy that contradict each other: the table of one, and what to write instead."""

    place: tuple[str, ...]
    says: str


def unknown_words(
    states: Collection[str], anchors: Collection[str], rules: Mapping[str, Rule], ceilings: Mapping[str, Ceiling]
) -> Iterator[Contradiction]:
    """States and anchors of rules and ceilings that are a slip, since no system would ever tell them."""
    lasting = [("rules", name, "lasts_while", each.lasts_while) for name, each in rules.items()]
    begins = [("rules", name, "anchor", each.anchor) for name, each in rules.items()]
    begins += [("ceilings", name, "anchor", each.anchor) for name, each in ceilings.items()]
    for where, known, used in (("states", states, lasting), ("anchors", anchors, begins)):
        for table, name, key, word in used:
            if word is not None and word not in known:
                remedy = f"no system tells {word}: write one of {', '.join(sorted(known))}, or declare {where}.{word}"
                yield Contradiction((table, name, key), remedy)


class RetentionConflict(NamedTuple):
    """A maximum by law of the EEA that is shorter than what a rule keeps: counsel decides which holds (REQ-R3)."""

    rule: str
    ceiling: str

    def __str__(self) -> str:
        return f"rules.{self.rule} keeps longer than ceilings.{self.ceiling}, a maximum by law, allows: counsel decides"


class Policy(Data):
    """The company's decisions about what it holds, for how long, and whom it informs.

    ``other_files``: the content of the other policy files, by name; ``overlay``: the folder of the company's own files.
    ``states``, ``anchors``: words of rules that systems report by. ``anywhere``: where to find every authority, for a
    person of an unknown country. ``laws``: the first is the company's. ``systems``: their names for people.
    """

    purposes: Mapping[Word, Purpose]
    categories: Annotated[Mapping[Word, Category], Field(min_length=1)]
    states: Mapping[Word, Words]
    anchors: Mapping[Word, Words]
    rules: Mapping[Word, Rule]
    ceilings: Mapping[Word, Ceiling]
    notice: Mapping[Word, NoticeRow]
    controller: Controller
    officer: Officer
    recipients: Mapping[Word, Recipient]
    laws: Annotated[Mapping[Word, Law], Field(min_length=1)]
    anywhere: Authority
    authorities: Mapping[Jurisdiction, Authority]
    redaction: Mapping[Other, Redaction]
    sign_offs: Mapping[Part, PartSignOff] = {}
    systems: Mapping[Word, Called] = {}
    other_files: Mapping[str, Mapping[str, Any]] = {}
    overlay: Path | None = None

    @cached_property
    def version(self) -> str:
        """The hash of its content, without order and comments; stored with every decision."""
        return _hash(self.model_dump(exclude={"overlay"}))

    @cached_property
    def part_versions(self) -> Mapping[Part, str]:
        """The hash of the content of each part that is signed as a whole."""
        files = self.other_files
        return {
            part: _hash(self.model_dump(include={*tables}) if tables else files.get(f"{part}.toml"))
            for part, tables in _TABLES.items()
        }

    def unsigned_parts(self, day: date) -> list[Part]:
        """Returns the parts that no valid signature covers as they are; a fictitious one needs no version."""

        def covers(part: Part, by: PartSignOff) -> bool:
            return by.is_valid(day) and (by.fictitious or by.version == self.part_versions[part])

        return [part for part in _TABLES if not ((by := self.sign_offs.get(part)) and covers(part, by))]

    @cached_property
    def _held_as(self) -> Mapping[str, str]:
        names = {alias: name for name, each in self.categories.items() for alias in each.held_as}
        return names | {name: name for name in self.categories}

    def category_of(self, name_there: str) -> str | None:
        """Returns the category of a system's data; None: the policy does not know it."""
        return self._held_as.get(name_there)

    def category(self, name_there: str) -> Category | None:
        """Returns the category of what a system calls so."""
        return self.categories.get(self._held_as.get(name_there, ""))

    def rule(self, name: str) -> Rule | None:
        """The rule of that name; None: a word that the policy maps to none."""
        return self.rules.get(name)

    def rule_reported_as(self, word: str | None) -> str | None:
        """The rule that a system means by a word of its own; None: the policy maps it to none."""
        return self._rules_by_word.get(word or "")

    @cached_property
    def _rules_by_word(self) -> Mapping[str, str]:
        by_word = {word: name for name, rule in self.rules.items() for word in rule.reported_as}
        return by_word | {name: name for name in self.rules}

    def today(self, now: datetime) -> date:
        """The day that it is where the controller is."""
        return now.astimezone(ZoneInfo(self.controller.zone)).date()

    def zone_of(self, rule: Rule | Ceiling) -> str:
        """Returns the zone in which the days of a rule are counted."""
        return rule.zone or self.controller.zone

    def release(self, rule: Rule | Ceiling, anchor: date | datetime) -> Release | None:
        """Returns when a rule releases a record; None if it lasts as long as a state."""
        return release(rule.period, anchor, self.zone_of(rule)) if rule.period else None

    def keeps(self, name_there: str) -> bool:
        """Returns whether a rule keeps a category for a period."""
        category = self.category(name_there)
        return any(self.rules[name].period for name in category.kept_by) if category else False

    def lasting(self, name_there: str) -> frozenset[str]:
        """The states for which rules may keep something of what a system calls so, for as long as they last."""
        category = self.category(name_there)
        rules = [self.rules[name] for name in category.kept_by] if category and not category.is_customers else []
        return frozenset(each.lasts_while for each in rules if each.lasts_while)

    def keeping_nothing(self) -> "Policy":
        """Returns the policy without rules, to examine a system's abilities."""
        goes = {"kept_by": (), "on_erasure": OnErasure.DELETE}
        free = {n: each.model_copy(update=goes) if each.kept_by else each for n, each in self.categories.items()}
        return self.with_other(categories=free)

    def with_other(self, **parts: Any) -> "Policy":
        """Returns the policy with other parts, and so another version."""
        return Policy(**{name: getattr(self, name) for name in Policy.model_fields} | parts)

    def ceilings_of(self, name_there: str) -> Mapping[str, Ceiling]:
        """Returns the ceilings of a system's category, by name."""
        category = self.category_of(name_there)
        return {name: each for name, each in self.ceilings.items() if each.category == category}

    def country_of(self, rule: Rule | Ceiling) -> str | None:
        """The country whose law alone it is; None: it is for all that we hold, by what is ours or the EU's."""
        everybodys = {None, UNION, self.controller.country}
        return None if rule.jurisdiction in everybodys else rule.jurisdiction

    def countries_of(self, rule: Rule) -> frozenset[str] | None:
        """Returns the countries whose records alone a rule may keep; None: all."""
        foreign = self.country_of(rule)
        return rule.applies_to or (frozenset({foreign}) if foreign else None)

    def is_transfer(self, country: str) -> bool:
        """Returns whether a disclosure there is a transfer to a third country (Art. 15(2), 44)."""
        return country not in next(iter(self.laws.values())).states

    def redacts(self, name_there: str) -> frozenset[Other]:
        """Returns whose parts are left out of copies for others, by a system's name of a category."""
        category = self.category_of(name_there)
        return frozenset(other for other, each in self.redaction.items() if each.holds_in(category))

    def recipients_of(self, name_there: str) -> Mapping[str, Recipient]:
        """To whom a category is disclosed, by name."""
        category = self.category_of(name_there)
        return {name: each for name, each in self.recipients.items() if category in each.categories}

    def authority_of(self, country: str | None) -> Authority | None:
        """The authority of a country; None: the country is not known, or has none of the GDPR."""
        return self.authorities.get(country or "")

    @cached_property
    def consents(self) -> frozenset[str]:
        """The purposes for which something is processed by consent: each can be withdrawn (Art. 7(3))."""
        return frozenset(purpose for each in self.categories.values() for purpose in each.consents)

    @cached_property
    def by_consent_alone(self) -> frozenset[str]:
        """The names that systems have for categories processed by consent alone."""
        ending = {name: each for name, each in self.categories.items() if each.by_consent_alone}
        return frozenset().union(*(each.held_as | {name} for name, each in ending.items()))

    def conflicts(self) -> list[RetentionConflict]:
        """Maxima by law that are shorter than what rules keep of the same records; none overrides the other."""
        limits = [(name, each, each.period) for name, each in self.rules.items() if each.period]
        return [
            RetentionConflict(name, ceiling)
            for name, rule, period in limits
            for ceiling, limit in self.ceilings.items()
            if limit.category == rule.category
            and limit.jurisdiction
            and limit.period.about_days < period.about_days
            and limit.jurisdiction in (self.countries_of(rule) or {limit.jurisdiction})
        ]

    def disagreements(self) -> Iterator[Contradiction]:
        """Yields contradictions between two parts."""
        yield from self._of_categories()
        yield from unknown_words(self.states, self.anchors, self.rules, self.ceilings)
        yield from self._of_rules()
        yield from self._of_ceilings()
        yield from self._of_notice()
        yield from self._of_redaction()
        yield from self._of_laws()
        known = ", ".join(sorted(self.categories))
        for name, recipient in self.recipients.items():
            for strange in sorted(recipient.categories - self.categories.keys()):
                yield Contradiction(
                    ("recipients", name, "categories"), f"{strange} is no category; write one of {known}"
                )

    def _of_laws(self) -> Iterator[Contradiction]:
        states = frozenset[str]().union(*(law.states for law in self.laws.values()))
        for state in sorted(states - self.authorities.keys() - {UNION}):
            yield Contradiction(("authorities",), f"{state} has a law and no authority: declare authorities.{state}")
        for name, rule in self.rules.items():
            if rule.ground == "17(3)(b)" and rule.jurisdiction not in states:
                contradiction = f"a rule of {rule.jurisdiction} is no obligation by Union or Member State law"
                yield Contradiction(
                    ("rules", name, "ground"),
                    f"17(3)(b): {contradiction}; write the ground that holds, as 17(1)(a) or 17(3)(e)",
                )
        for name, recipient in self.recipients.items():
            if self.is_transfer(recipient.country) != (recipient.safeguard is not None):
                yield Contradiction(
                    ("recipients", name, "safeguard"),
                    "a recipient outside the EEA needs a safeguard: write adequacy, standard_clauses, binding_rules or"
                    " derogation; one in it needs none",
                )

    def _of_redaction(self) -> Iterator[Contradiction]:
        for other in sorted({*Other} - self.redaction.keys()):
            yield Contradiction(("redaction",), f"{other} is not decided: declare redaction.{other}")
        for other, each in self.redaction.items():
            for strange in sorted({*each.categories} - self.categories.keys()) if each.categories != "all" else ():
                yield Contradiction(("redaction", other, "categories"), f"{strange} is no category; declare it")

    def _of_categories(self) -> Iterator[Contradiction]:
        seen: dict[str, str] = {}
        for name, category in self.categories.items():
            place = ("categories", name)
            for alias in sorted(category.held_as | {name}):
                if (other := seen.setdefault(alias, name)) != name:
                    yield Contradiction((*place, "held_as"), f"{alias} counts as {other} as well: name it once")
            for strange in sorted(category.purposes.keys() - self.purposes.keys()):
                yield Contradiction((*place, "purposes"), f"{strange} is no purpose; declare purposes.{strange}")
            for rule in category.kept_by:
                if rule not in self.rules:
                    yield Contradiction((*place, "kept_by"), f"{rule} is no rule; declare rules.{rule}")
                elif self.rules[rule].category not in {None, name}:
                    yield Contradiction((*place, "kept_by"), f"{rule} is a rule of {self.rules[rule].category}")
                elif rule == LEGAL_HOLD:
                    yield Contradiction((*place, "kept_by"), f"{rule} keeps whatever a hold names: leave it out here")

    def _of_rules(self) -> Iterator[Contradiction]:
        for table, each in (("rules", self.rules), ("ceilings", self.ceilings)):
            for name, rule in each.items():
                if rule.category is not None and rule.category not in self.categories:
                    yield Contradiction((table, name, "category"), f"{rule.category} is no category; declare it")
        for name, rule in self.rules.items():
            for word in sorted(rule.reported_as):
                if (other := self._rules_by_word[word]) != name:
                    yield Contradiction(("rules", name, "reported_as"), f"{word} means {other} as well: name it once")
            for ceiling, limit in self.ceilings.items():
                same = (limit.category, limit.anchor) == (rule.category, rule.anchor) and limit.jurisdiction is None
                if same and rule.period and limit.period.about_days < rule.period.about_days:
                    contradiction = f"{limit.period} is shorter than the {rule.period} that rules.{name} keeps"
                    yield Contradiction(
                        ("ceilings", ceiling, "period"), f"{contradiction}: a ceiling of our own is no shorter"
                    )

    def _of_ceilings(self) -> Iterator[Contradiction]:
        anonymised = {name: each for name, each in self.ceilings.items() if each.then is AtCeiling.ANONYMISE}
        for name, later in ((name, each) for name, each in self.ceilings.items() if name not in anonymised):
            for first, each in anonymised.items():
                same = (each.category, each.anchor) == (later.category, later.anchor)
                if same and later.period.about_days <= each.period.about_days:
                    contradiction = (
                        f"{later.period} is over before ceilings.{first} has anonymised it, after {each.period}"
                    )
                    yield Contradiction(("ceilings", name, "period"), contradiction)

    def _of_notice(self) -> Iterator[Contradiction]:
        for name, row in self.notice.items():
            known: Mapping[str, Rule] | Mapping[str, Ceiling]
            for table, known in (("rules", self.rules), ("ceilings", self.ceilings)):
                for each in row.rules if table == "rules" else row.ceilings:
                    if each not in known:
                        yield Contradiction(("notice", name, table), f"{each} is none of the {table}; declare it")
                    elif period := known[each].period:
                        place = (table, each, "period")
                        if period.about_days > row.period.about_days:
                            contradiction = f"is {period}, longer than the {row.period} of notice.{name}"
                            yield Contradiction(place, f"{contradiction}: it needs a new privacy notice first")
                        elif period.about_days < row.shortest.about_days:
                            contradiction = f"is {period}, implausibly short against the {row.period} of notice.{name}"
                            yield Contradiction(
                                place, f"{contradiction}: write {row.period}, or let shortest there be as short"
                            )


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=_plain).encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else str(value)


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The effects: ``marketing``: all direct marketing ends; ``ends``: data kept for these purposes only.

    ``concerns``: data that stay for other purposes and are no longer used for these. Both by the systems' names.
    """

    marketing: bool
    ends: frozenset[str]
    concerns: frozenset[str]


def withdrawal(policy: Policy, purposes: Collection[str], before: Collection[str] = ()) -> Withdrawal:
    """Returns the effects of a withdrawal of consent; ``before``: purposes that were withdrawn earlier.

    Data kept by several consents end with the last. So does marketing as a whole, since a mark stops all of it.
    """
    withdrawn = frozenset(purposes)
    all_of_it = withdrawn | frozenset(before)
    concerned = {name: each for name, each in policy.categories.items() if each.consents & withdrawn}
    ending = {name for name, each in concerned.items() if each.by_consent_alone and each.consents <= all_of_it}
    used = frozenset().union(*(each.purposes for each in policy.categories.values()))
    direct = frozenset(name for name, each in policy.purposes.items() if each.direct_marketing and name in used)
    named = {name: each.held_as | {name} for name, each in concerned.items()}
    return Withdrawal(
        marketing=bool(withdrawn & direct) and direct <= all_of_it,
        ends=frozenset().union(*(named[name] for name in ending)),
        concerns=frozenset().union(*(named[name] for name in concerned.keys() - ending)),
    )
