"""Reads a report back from its HTML: which items it answers, and of which rows it tells; pure."""

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass(slots=True)
class Answer:
    """One item of the checklist: how it stands, what it says, by sentence and cell, and of which categories."""

    status: str
    says: list[str] = field(default_factory=list)
    about: set[str] = field(default_factory=set)

    @property
    def answered(self) -> bool:
        """Whether it applies, and is answered at least in part."""
        return self.status in {"answered", "in_part"}


@dataclass(slots=True)
class Report:
    """What a report tells: its items, and by category rows, rows that hide something, and fields without a meaning.

    ``undeclared``: the categories that the policy does not know.
    """

    items: dict[str, Answer] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    withheld: dict[str, int] = field(default_factory=dict)
    unexplained: dict[str, list[str]] = field(default_factory=dict)
    undeclared: list[str] = field(default_factory=list)


def read(html: str) -> Report:
    """What the report tells, as its markup says it."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.report


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.report = Report()
        self._item: Answer | None = None
        self._inside: str | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if tag == "section":
            self._item = None
            if "data-item" in has:
                self._item = self.report.items[has["data-item"]] = Answer(has.get("data-status", ""))
            if category := has.get("data-category"):
                self.report.rows[category] = int(has["data-rows"])
                self.report.withheld[category] = int(has["data-withheld"])
                self.report.undeclared += [category] if has.get("data-declared") == "no" else []
        elif tag == "tr" and self._item and "data-about" in has:
            self._item.about.update(has["data-about"].split())
        elif tag == "tr" and has.get("data-explained") == "no":
            self.report.unexplained.setdefault(has["data-of"], []).append(has["data-field"])
        elif tag in {"p", "td"}:
            self._inside, self._text = tag, ""

    def handle_endtag(self, tag: str) -> None:
        if tag != self._inside:
            return
        said = " ".join(self._text.split())
        if self._item and said:
            self._item.says.append(said)
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._text += data
