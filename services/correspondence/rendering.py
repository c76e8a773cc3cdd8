"""Fills the template of a letter with words in the reader's language.

The letter is HTML, and its plain text is derived from that (``shared.domain.notices``). Words and templates are the
policy's (``shared/policy``), as are sender, data protection officer and authorities.
"""

from collections.abc import Iterable, Mapping
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from shared.domain.languages import WORDINGS
from shared.domain.notices import Field, NoticeFacts, NoticeText, Reader
from shared.domain.policy import Policy
from shared.domain.policy_words import policy_words
from shared.domain.sentences import Fact, Lines, say

TEMPLATES = WORDINGS.parent / "letters" / "templates"

_NOTHING: Mapping[str, Field] = {
    **dict.fromkeys(("about", "also", "cause", "code", "explanation", "fetch", "follows", "name", "reason"), ""),
    **dict.fromkeys(("done", "others", "remains", "stays"), Lines()),
    "to_correct": "",
}


class Renderer:
    """Makes letters of their facts, by one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._wordings = policy_words(policy)
        self._known_contacts: dict[Reader, Mapping[str, str]] = {}

    def render(self, notice: NoticeFacts) -> NoticeText:
        """Returns the text of a letter.

        Where a right is limited it names the authority of the reader's country, or where all are found. A field
        ``also`` is a paragraph before that. What people wrote is quoted as they wrote it.

        Raises:
            KeyError: a field of the words of that letter is missing.
            TemplateError: a field of its template is missing.
        """
        kind, reader = notice.kind, notice.reader
        wording = self._wordings.of(reader.language, reader.zone)
        known: dict[str, Field] = {**_NOTHING, **notice.fields}
        facts = {name: field for name, field in known.items() if not isinstance(field, Lines)}
        lines = {name: wording.lines(field) for name, field in known.items() if isinstance(field, Lines)}
        shown = {name: wording.text(fact) for name, fact in facts.items()}
        people = [
            {name: wording.lines(f) if isinstance(f, Lines) else wording.text(f) for name, f in each.items()}
            for each in notice.people
        ]
        whose = ("instructed_", "") if reader.instructed else ("",)
        forms = (f"{of}{about}" for of in whose for about in (f"{shown['about']}_", ""))
        key = next(key for form in forms if (key := f"{kind}.{form}subject") in wording)
        subject = wording.words(key, shown, facts)
        html = (
            _templates()
            .get_template(f"{kind}.html")
            .render(
                {**shown, **lines, "subject": subject, "written_on": wording.day(notice.written_on), "people": people},
                say=lambda key: wording.words(key, shown, facts),
                language=reader.language,
                sender=self._policy.controller,
                instructed=reader.instructed,
                to_controller=reader.outside,
                own=False,
                remedies=False,
                **self._contacts(reader),
            )
        )
        return NoticeText(reader.language, subject, html, notice.to)

    def _contacts(self, reader: Reader) -> Mapping[str, str]:
        """Returns whom the reader may turn to, in words."""
        known = self._known_contacts.get(reader)
        if known is None:
            officer = self._policy.officer.of(reader.country)
            ways = (officer.name, *officer.address, officer.email, officer.phone)
            contact = say("letter.officer", officer=", ".join(filter(None, ways)))
            authority = self._policy.authority_of(reader.country)
            complaint = say("letter.no_authority", site=self._policy.anywhere.site)
            if authority:
                complaint = say("letter.authority", authority=authority.name, site=authority.site)
            said: Mapping[str, Fact] = {"complaint": complaint, "contact": contact}
            wording = self._wordings.of(reader.language, reader.zone)
            known = {name: wording.text(fact) for name, fact in said.items()}
            self._known_contacts[reader] = known
        return known


def as_list(lines: Iterable[str]) -> Markup:
    """Returns lines as a list of HTML; nothing, where there are none."""
    items = "".join([f"<li>{escape(line)}</li>" for line in lines])
    return Markup(f"<ul>{items}</ul>" if items else "")  # noqa: S704  # each line is escaped


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["lines"] = as_list
    return environment
