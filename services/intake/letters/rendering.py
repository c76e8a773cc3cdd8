"""A letter to the subject: the template of its kind filled in with the words of their language.

It is HTML; its plain text is derived from that (``letter_text``). What is said is the policy's, in four languages
(``shared/policy/letters``), and so are sender, data protection officer and authorities (``shared/policy/processing``).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from services.intake.letters.plain_text import text_of
from services.intake.request import deferrals
from services.intake.request.disclosed import Disclosed
from services.intake.request.letter_kinds import TO_OTHERS, LetterField, LetterKind
from services.intake.request.stored_request import StoredRequest
from services.intake.retention import retention
from services.intake.settings import IntakeSettings
from shared.domain.operations import COUNTRY_UNKNOWN
from shared.domain.policy import Policy, says_as_shipped
from shared.domain.rights import Right
from shared.domain.sentences import Fact, Lines, Sentence, Term, Told, article, say
from shared.domain.suppression_policy import suppression_policy
from shared.domain.wording import LANGUAGES, WORDINGS, Language, Wordings, read_languages, read_wordings
from shared.runtime.settings import PolicySettings

TEMPLATES = WORDINGS / "templates"

_NOTHING: Mapping[str, LetterField] = {
    **dict.fromkeys(("besides", "fetch", "remains", "follow", "begun"), ""),
    "others": Lines(),
}

_KEPT_BY: Mapping[str, str] = {
    "17(1)(a)": "kept_by.necessary",
    "17(3)(b)": "kept_by.obligation",
    "17(3)(e)": "kept_by.claims",
}


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads a letter: in which language, in which zone (IANA), in which country (ISO 3166), if that is known.

    ``instructed``: it is a customer of ours, who reads of an instruction about a person.
    """

    language: Language
    zone: str
    country: str | None
    instructed: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter as it is sent."""

    language: Language
    subject: str
    html: str

    @property
    def body(self) -> str:
        """Its plain text."""
        return text_of(self.html)


class Letters:
    """The templates, and the words for them."""

    def __init__(self, policy: Policy | None = None) -> None:
        self._settings = IntakeSettings()
        self.policy = policy or PolicySettings().read_processing()
        self._kept_months, self._record_months = retention().correspondence_months, retention().register_months
        self._lists_erased = suppression_policy(PolicySettings().overlay).erasure
        wordings = read_wordings()
        self._wordings = wordings.with_terms(dict(_terms(self.policy, wordings)))
        self._languages = read_languages()
        self._known_contacts: dict[Reader, Mapping[str, str]] = {}
        self._told_of_backups: tuple[datetime, Told] | None = None

    def reader(self, request: StoredRequest, kind: LetterKind | None = None) -> Reader:
        """Who reads the letters of a request, that of the kind if one is named."""
        language = self._languages.customers if kind in TO_OTHERS else request.language
        return Reader(language, request.zones[-1], request.country, instructed=bool(request.tenant))

    def words(self, fact: Fact, reader: Reader) -> str:
        """What is said, in words."""
        return self._wordings.of(reader.language, reader.zone).text(fact)

    def write(self, kind: LetterKind, reader: Reader, fields: Mapping[str, LetterField], at: datetime) -> Letter:
        """The letter of that kind, written then.

        It names the authority of the reader's country, or else where all are found; what goes to a customer of ours
        names none. A field ``besides`` is a paragraph that stands before that. What people wrote stands in it as they
        wrote it.

        Raises:
            KeyError: a field of the words of that letter is not given.
            TemplateError: one of its template is not given.
        """
        wording = self._wordings.of(reader.language, reader.zone)
        known: dict[str, LetterField] = {**_NOTHING, **fields}
        facts = {name: field for name, field in known.items() if not isinstance(field, Lines)}
        lines = {name: wording.lines(field) for name, field in known.items() if isinstance(field, Lines)}
        shown = {name: wording.text(fact) for name, fact in facts.items()}
        own, begun = f"{kind}.instructed_subject", f"{kind}.begun_subject"
        has_own = reader.instructed and own in wording
        says_begun = bool(known["begun"]) and begun in wording
        subject = wording.words(own if has_own else begun if says_begun else f"{kind}.subject", shown, facts)
        html = (
            _templates()
            .get_template(f"{kind}.html")
            .render(
                {**shown, **lines, "subject": subject, "written_on": wording.day(at)},
                say=lambda key: wording.words(key, shown, facts),
                language=reader.language,
                sender=self.policy.controller,
                instructed=reader.instructed,
                about_instruction=not has_own and kind != "assisted",
                to_controller=kind in TO_OTHERS,
                **self._contacts(reader),
            )
        )
        return Letter(reader.language, subject, html)

    def _contacts(self, reader: Reader) -> Mapping[str, str]:
        """To whom somebody may turn, in words."""
        known = self._known_contacts.get(reader)
        if known is None:
            officer = self.policy.officer.of(reader.country)
            ways = (officer.name, *officer.address, officer.email, officer.phone)
            contact = say("letter.officer", officer=", ".join(filter(None, ways)))
            authority = self.policy.authority_of(reader.country)
            complaint = say("letter.no_authority", site=self.policy.anywhere.site)
            if authority:
                complaint = say("letter.authority", authority=authority.name, site=authority.site)
            said = {"complaint": complaint, "contact": contact}
            known = {name: self.words(fact, reader) for name, fact in said.items()}
            self._known_contacts[reader] = known
        return known

    def remains(self, request: StoredRequest, now: datetime, disclosed: Disclosed | None = None) -> Told:
        """What remains, after an erasure, of what was erased: how long in backups, what becomes of its key, our list.

        Also of what was emptied of rows that stay. ``disclosed``: what others are told of the request, if that is
        known already.
        """
        if request.tenant or request.right is not Right.ERASURE:
            return ()
        known = disclosed if disclosed and disclosed.policy is self.policy else Disclosed(request, self.policy)
        lists = self._lists_erased and deferrals.found(request.tasks) and not deferrals.undone(request.tasks)
        listed = (say("letter.listed"),) if lists else ()
        emptied = any(each.reduced for each in known.extents.values())
        if not emptied and not deferrals.rows_changed(request.tasks):
            return listed
        forgotten = request.forgets_its_subject and not any(map(deferrals.is_kept, request.tasks or ()))
        unreadable: Told = ()
        if forgotten:
            record = say("letter.record", months=self._record_months)
            unreadable = (say("letter.unreadable", months=self._kept_months), record)
        told = self._told_of_backups
        if told is None or told[0] != now:  # it is the same instant for a batch
            told = self._told_of_backups = (now, self._backups(now))
        return (*told[1], *unreadable, *listed)

    def _backups(self, now: datetime) -> Told:
        """Until when copies are in backups, where a period is signed for them; else that none is decided."""
        ceilings, today = self.policy.ceilings_of("backup").values(), self.policy.today(now)
        ends = [
            each.last_day for limit in ceilings if limit.signed(today) and (each := self.policy.release(limit, now))
        ]
        if ends:
            return (say("letter.backups", until=max(ends)),)
        return (say("letter.backups_undecided"),) if ceilings else ()

    def copies(self, since: datetime | None) -> Told:
        """Until when a copy that was made before an erasure can be fetched; nothing where there is none."""
        if since is None:
            return ()
        return (say("letter.copies", until=since + timedelta(days=self._settings.package_days)),)

    def fetch(self, now: datetime) -> Sentence:
        """Where a copy can be fetched that is made available now, until when and how often."""
        until = now + timedelta(days=self._settings.package_days)
        return say("package.fetch", until=until, times=self._settings.package_downloads)


def as_list(lines: Iterable[str]) -> Markup:
    """Lines as a list of HTML; nothing, where there are none."""
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


def _terms(policy: Policy, wordings: Wordings) -> Iterator[tuple[str, Mapping[Language, str]]]:
    """How rules, purposes, kinds of data and systems of a policy are read: as what they stand for, if not in our words.

    What the company has worded by itself is read in its words, whatever the language. A rule has its article with it,
    and by itself why the law allows it.
    """

    def said(fact: Fact) -> Mapping[Language, str]:
        return {each: wordings.of(each, "UTC").text(fact) for each in LANGUAGES}

    by = say("kept_by.country_unknown", article=article("17(3)"))
    yield f"law.{COUNTRY_UNKNOWN}", said(by)
    unknown = Term("ground", COUNTRY_UNKNOWN)
    yield f"ground.{COUNTRY_UNKNOWN}", said(say("kept_by.ground", ground=unknown, article=article("17(3)")))
    for name, rule in policy.rules.items():
        known = f"ground.{name}" in wordings.keys and says_as_shipped(policy, "rules", name)
        for word in (name, *rule.told_as):
            ground = Term("ground", name) if known else rule.words
            yield f"ground.{word}", said(say("kept_by.ground", ground=ground, article=article(rule.ground)))
            by = say(_KEPT_BY.get(rule.ground, "kept_by.exception"), article=article(rule.ground))
            yield f"law.{word}", said(by)
    for name, purpose in policy.purposes.items():
        if not says_as_shipped(policy, "purposes", name):
            yield f"purpose.{name}", said(purpose.words)
    for name, kind in policy.categories.items():
        for word in kind.held_as:
            if f"category.{word}" not in wordings.keys:
                yield f"category.{word}", said(Term("category", name))
    for name, called in policy.systems.items():
        words = {each: wordings.of(each, "UTC").text(say("named.system", name=called.of(each))) for each in LANGUAGES}
        yield f"system.{name}", words
