"""Answers the checklist of Art. 15(1)(a) to (h) and 15(2), item by item; pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from services.export.pieces import DESCRIPTION
from services.export.readme import README, explained
from services.export.report.request import ReportRequest, meanings
from services.export.report.retention import Periods, Person
from services.export.report.words import ReportWords
from services.export.survey import SurveyedCategory
from shared.domain.policy import ProvidedBy
from shared.domain.release import REPORT

Line = tuple[str | None, Sequence[str]]
"""The categories of a line, separated by blanks, and its cells."""
Table = tuple[Sequence[str], Sequence[Line]]
"""Headings and lines."""


def together(lines: Sequence[Line]) -> Sequence[Line]:
    """Joins lines that say the same about several kinds of data."""
    about: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for name, (kind, *said) in lines:
        about.setdefault(tuple(said), []).append((name or "", kind))
    return [
        (" ".join(name for name, _ in kinds), [", ".join(kind for _, kind in kinds), *said])
        for said, kinds in about.items()
    ]


@dataclass(frozen=True, slots=True)
class Item:
    """One item: what is said of it, in sentences and as a table; where it does not apply, why.

    ``status``: the key of how it stands; in part: it is not yet stated for some of what is held.
    """

    id: str
    question: str
    sentences: Sequence[str]
    table: Table | None = None
    status: Literal["answered", "in_part", "not_applicable"] = "answered"


def checklist(
    known: Mapping[str, SurveyedCategory], request: ReportRequest, files: Sequence[str], words: ReportWords
) -> Iterator[Item]:
    """Yields all items in the order of the article; ``files``: the names of the copy's files."""
    return _Checklist(known, request, files, words).items()


@dataclass(frozen=True, slots=True)
class _Kind:
    """The number of rows of a kind of data and their systems."""

    rows: int
    systems: Sequence[str]
    found: SurveyedCategory


class _Checklist:
    def __init__(
        self, known: Mapping[str, SurveyedCategory], request: ReportRequest, files: Sequence[str], words: ReportWords
    ) -> None:
        ours = [words.texts.page["ours"]]
        own = {name: _Kind(rows, ours, SurveyedCategory()) for name, rows in request.own.items()}
        held = {name: _Kind(each.rows, each.systems, each) for name, each in known.items()}
        self._known = dict(sorted({**own, **held}.items()))
        self._request, self._policy = request, request.policy
        self._receives = {key: each for name in self._known for key, each in self._policy.recipients_of(name).items()}
        self._undeclared = [name for name in self._known if not request.policy.category(name)]
        self._person = Person.of(request.country, known.values())
        self._words, self._texts, self._answer = words, words.texts, words.answer
        self._files = list(explained(known, request, [REPORT, *files, DESCRIPTION, README]))

    def items(self) -> Iterator[Item]:
        rows = sum(each.rows for each in self._known.values())
        yield self._item("A15.0", self._answer("confirmed", rows=rows, categories=len(self._known)))
        yield self._purposes()
        yield self._categories()
        yield self._recipients()
        yield self._periods()
        yield self._item("A15.e", self._answer("rights"))
        yield self._complaint()
        yield self._sources()
        yield self._automation()
        yield self._transfers()
        yield self._copy()
        yield self._left_out()
        yield self._glossary()
        yield self._missing()

    def _item(self, name: str, *sentences: str, table: Table | None = None, applies: bool = True) -> Item:
        return Item(name, self._texts.items[name], sentences, table, "answered" if applies else "not_applicable")

    def _by_policy(self, name: str, *sentences: str, table: Table | None = None, applies: bool = True) -> Item:
        """Builds an item from the policy; kinds of data without a description are listed as such."""
        if not self._undeclared:
            return self._item(name, *sentences, table=table, applies=applies)
        kinds = ", ".join(map(self._words.kind, self._undeclared))
        said = [self._answer("not_described", kinds=kinds)]
        if sentences and len(self._undeclared) < len(self._known):
            said += [self._answer("otherwise"), *sentences]
        return Item(name, self._texts.items[name], said, table, "in_part")

    def _label(self, category: str, field: str) -> str:
        said = self._request.meaning(self._known[category].systems, category, field)
        return self._texts.label(said, field)

    def _headings(self, *names: str) -> Sequence[str]:
        return [self._texts.page[name] for name in names]

    def _purposes(self) -> Item:
        """15(1)(a), by category and purpose."""
        lines: list[Line] = []
        for name, held in self._known.items():
            category = self._policy.category(name)
            if category is None:
                lines.append((name, [self._words.kind(name), self._texts.page["undeclared"], "", ""]))
                continue
            if held.found.left and held.found.left == held.rows:
                lines.append((name, [self._words.kind(name), self._texts.page["left_alone"], "", ""]))
                continue
            for purpose, each in category.purposes.items():
                words = self._words.purpose(purpose)
                lines.append(
                    (name, [self._words.kind(name), words, self._texts.bases[each.basis], self._texts.roles[each.role]])
                )
        table = (self._headings("category", "purpose", "basis", "role"), together(lines))
        return self._by_policy("A15.a", table=table)

    def _automation(self) -> Item:
        """15(1)(h), as the policy says of each purpose of what is held."""
        held = filter(None, map(self._policy.category, self._known))
        purposes = {name: self._policy.purposes[name].automation for each in held for name in each.purposes}
        lines = [
            (None, [self._words.purpose(name), each.logic, each.consequences])
            for name, each in purposes.items()
            if each != "none"
        ]
        if not lines:
            return self._by_policy("A15.h", self._answer("no_automation"), applies=False)
        return self._by_policy("A15.h", table=(self._headings("purpose", "logic", "consequences"), lines))

    def _categories(self) -> Item:
        """15(1)(b), with what there is of each and where."""
        lines: list[Line] = []
        for name, held in self._known.items():
            lines.append(
                (
                    name,
                    [
                        self._words.kind(name),
                        self._words.category(name),
                        self._words.number(held.rows),
                        self._words.systems(held.systems),
                    ],
                )
            )
        return self._by_policy("A15.b", table=(self._headings("category", "held", "count", "system"), lines))

    def _recipients(self) -> Item:
        """15(1)(c): by name, processors too (C-154/21)."""
        lines: list[Line] = [
            (
                None,
                [
                    *(each.name, self._texts.recipients[each.role], self._words.country(each.country)),
                    *(self._words.contact(each.contact), ", ".join(map(self._words.kind, self._got_by(key)))),
                ],
            )
            for key, each in self._receives.items()
        ]
        if not lines:
            return self._by_policy("A15.c", self._answer("no_recipient"))
        headings = self._headings("recipient", "role", "country", "contact", "category")
        return self._by_policy("A15.c", table=(headings, lines))

    def _got_by(self, recipient: str) -> Sequence[str]:
        return [name for name in self._known if recipient in self._policy.recipients_of(name)]

    def _periods(self) -> Item:
        """15(1)(d), with the days that follow for this person's rows."""
        periods = Periods(self._policy, self._person, self._request.today, self._words)
        lines: list[Line] = []
        for name, held in self._known.items():
            kind = self._words.kind(name)
            if name in self._undeclared:
                lines.append((name, [kind, self._texts.page["undeclared"], self._answer("no_day")]))
                continue
            for how_long, days in periods.of(name, held.found):
                lines.append((name, [kind, how_long, days or self._answer("no_day")]))
        return self._by_policy("A15.d", table=(self._headings("category", "period", "released"), together(lines)))

    def _complaint(self) -> Item:
        """15(1)(f), with the authority of the person's country by name, and whom else they may ask."""
        authority = self._policy.authority_of(self._request.country)
        named = authority or self._policy.anywhere
        complaint = self._answer(
            "complaint" if authority else "complaint_anywhere", authority=named.name, site=named.site
        )
        officer = self._policy.officer.of(self._request.country)
        return self._item(
            "A15.f", complaint, self._answer("officer", name=officer.name, contact=self._words.contact(officer))
        )

    def _sources(self) -> Item:
        """15(1)(g), where anything is not from the person."""
        sources = {name: each.provided_by for name in self._known if (each := self._policy.category(name))}
        added = any(each.found.added or each.found.ours for each in self._known.values())
        if set(sources.values()) <= {ProvidedBy.PERSON} and len(sources) == len(self._known) and not added:
            return self._by_policy("A15.g", self._answer("no_other_source"), applies=False)
        lines: list[Line] = []
        for name, held in self._known.items():
            where = self._texts.page["undeclared"]
            if source := sources.get(name):
                where = self._source(name, source, held.found)
            lines.append((name, [self._words.kind(name), where, self._words.systems(held.systems)]))
        return self._by_policy("A15.g", table=(self._headings("category", "source", "system"), together(lines)))

    def _source(self, name: str, source: ProvidedBy, held: SurveyedCategory) -> str:
        """Returns the source of rows; counts rows and names fields that the person did not provide."""
        if source is not ProvidedBy.PERSON:
            return self._texts.sources[source]
        from_us = "added" if held.added == held.rows else "added_some"
        said = self._answer(from_us, count=held.added) if held.added else self._texts.sources[source]
        fields = ", ".join(sorted(self._label(name, each) for each in held.ours))
        return self._answer("but_fields", source=said, fields=fields) if fields else said

    def _transfers(self) -> Item:
        """15(2): safeguards of transfers, recipient by recipient."""
        lines: list[Line] = [
            (None, [each.name, self._words.country(each.country), self._texts.safeguards[each.safeguard]])
            for each in self._receives.values()
            if each.safeguard
        ]
        home = self._policy.controller.country
        established = (
            [self._answer("established", country=self._words.country(home))] if self._policy.is_transfer(home) else []
        )
        if not lines:
            return self._by_policy("A15.2", self._answer("no_transfer"), *established, applies=bool(established))
        table = (self._headings("recipient", "country", "safeguard"), lines)
        return self._by_policy("A15.2", *established, table=table)

    def _copy(self) -> Item:
        """15(3): the files, and what is in each."""
        table: Table = (self._headings("file_name", "explains"), [(None, each) for each in self._files])
        return self._item("A15.3", self._answer("copy"), table=table)

    def _glossary(self) -> Item:
        """Counts explained columns, and those without an explanation."""
        found = {name: held.found for name, held in self._known.items()}
        said = [meaning for _, _, meaning in meanings(found, self._request, self._texts)]
        if None not in said:
            return self._item("A15.X1", self._answer("glossary", fields=len(said)))
        unexplained = self._answer("unexplained", count=said.count(None), fields=len(said))
        return Item("A15.X1", self._texts.items["A15.X1"], [unexplained], status="in_part")

    def _left_out(self) -> Item:
        """15(4): what is hidden of other people's, by kind and count, and by the name of each field with the reason."""
        lines: list[Line] = []
        for name, held in self._known.items():
            if held.found.withheld:
                said = self._answer("withheld_rows", count=held.found.withheld)
                lines.append((name, [self._words.kind(name), said]))
            for (hidden, whose), rows in sorted(held.found.hidden.items()):
                why = self._answer(f"hidden_{whose}")
                said = self._answer("hidden_field", field=self._label(name, hidden), why=why, count=rows)
                lines.append((name, [self._words.kind(name), said]))
        for each in self._request.reports:
            if each.written_by_others:
                lines.append(
                    (
                        None,
                        [
                            self._words.system(each.system),
                            self._answer("written_by_others", count=each.written_by_others),
                        ],
                    )
                )
            if each.unattributed:
                lines.append(
                    (None, [self._words.system(each.system), self._answer("unattributed", count=each.unattributed)])
                )
        if not lines:
            return self._item("A15.4", self._answer("nothing_withheld"))
        return self._item("A15.4", table=(self._headings("category", "detail"), lines))

    def _missing(self) -> Item:
        """Art. 12(4): lists missing systems, the reasons, and the remedy."""
        missing = self._request.missing()
        if not missing:
            return self._item("A15.X2", self._answer("complete"), applies=False)
        reasons = self._texts.reasons
        lines: list[Line] = [
            (None, [self._words.system(system), reasons.get(why, reasons["failed"])])
            for system, why in sorted(missing.items())
        ]
        table = (self._headings("system", "reason"), lines)
        return self._item("A15.X2", self._answer("incomplete"), self._answer("remedy"), table=table)
