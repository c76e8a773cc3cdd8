"""Letters: whole in each language, with the reason, the new date, where to complain, and the way to a court."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner
from uuid_utils.compat import uuid7

from services.intake.letters.letter_facts import LetterFacts
from services.intake.request import letter_kinds
from services.intake.request.aggregate import Request
from services.intake.request.letter_kinds import KINDS, TO_ORGANISATIONS, LetterField
from services.intake.request.lifecycle import State
from services.intake.request.reasons import read_reasons
from services.letters import letters as commands
from services.letters import sample, samples
from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.domain.languages import LANGUAGES, Language, read_languages
from shared.domain.notices import NoticeText, Reader
from shared.domain.operations import ANSWERING, Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.policy import read_policy
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import (
    Fact,
    FactList,
    Lines,
    Sentence,
    Term,
    article,
    dump,
    fact_list,
    load,
    named_system,
    named_systems,
    say,
)
from shared.domain.time_limit_policy import Question
from shared.domain.time_limit_policy import read_policy as read_time_limits
from shared.domain.wording import read_wordings
from tests.fixtures.policy import changed
from tests.fixtures.requests import AT, a_request
from tests.fixtures.words import CUSTOMER, LETTERS, READER, RENDERER, words, written
from tests.unit.letters.reviewed import file_of

SAMPLES = samples(LETTERS)
LIMITS = {
    *("answer_partially_fulfilled", "answer_no_data", "answer_unidentified", "answer_refused", "answer_overridden"),
    *(name for name, (kind, _) in SAMPLES.items() if kind in {"extension", "last_notice", "forwarded"}),
    *("update_lifting_decided", "update_package_withheld", "update_part_ended"),
}
"""The letters by which a right is limited or refused, or the answer comes later or from another company."""


def body_of(name: str, /, reader: Reader = READER, **said: LetterField) -> str:
    kind, fields = SAMPLES[name]
    return " ".join(written(kind, {**fields, **said}, reader).body.split())


def preview(name: str, language: Language) -> NoticeText:
    return RENDERER.render(sample(LETTERS, name, language))


def in_words(key: str, reader: Reader = READER) -> str:
    return LETTERS.words(say(key), reader)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", SAMPLES)
def test_each_letter_reads_as_it_was_reviewed(name: str, language: Language) -> None:
    reviewed = file_of(name, language).read_text(encoding="utf-8")
    assert preview(name, language).body == reviewed, "look at it, then: python -m tests.unit.letters"


@pytest.mark.parametrize(("asked", "printed"), [("all", [*SAMPLES]), ("question", 5), ("answer_no_data", 0)])
def test_the_command_prints_the_letters_of_a_kind(asked: str, printed: Sequence[str] | int) -> None:
    said = CliRunner().invoke(commands, ["preview", asked, "--lang", "es"])
    names = [line.removeprefix("===== ") for line in said.output.splitlines() if line.startswith("===== ")]
    assert said.exit_code == 0
    assert printed in (names, len(names))
    assert "no such kind" in CliRunner().invoke(commands, ["preview", "fax"]).output


def test_every_kind_of_letter_has_a_sample_and_every_reviewed_letter_one() -> None:
    assert {kind for kind, _ in SAMPLES.values()} == {*KINDS}
    assert len(KINDS) <= 14
    found = {path.stem for path in Path(file_of("x", "en")).parent.glob("*.txt")}
    assert found == {f"{name}.{language}" for name in SAMPLES for language in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", SAMPLES)
def test_a_letter_that_limits_a_right_names_authority_and_court_and_each_names_the_dpo(
    name: str, language: Language
) -> None:
    reader = replace(READER, language=language)
    body, to_subject = body_of(name, reader), SAMPLES[name][0] not in TO_ORGANISATIONS
    for said in ("Bundesbeauftragte", "https://www.bfdi.bund.de", in_words("letter.court", reader)):
        assert (said in body) is (name in LIMITS)
    assert "Data Protection Team" in body
    assert ("019c0000" in body) is (name != "recipient_notice"), "a digest has one for each person"
    assert (in_words("letter.court", reader) in body_of(name, replace(reader, instructed=to_subject))) is (
        not to_subject and name in LIMITS
    )


@pytest.mark.parametrize("country", sorted(read_policy().authorities))
def test_every_country_of_the_eea_and_the_uk_has_its_authority_by_name(country: str) -> None:
    authority = read_policy().authorities[country]
    body = body_of("answer_refused", replace(READER, country=country))
    assert authority.name in body
    assert authority.site in body
    assert "in which you work, or in which you think that your rights were infringed" in body


@pytest.mark.parametrize("country", [None, "BR"])
def test_unknown_country_names_the_list_of_authorities(country: str | None) -> None:
    body = body_of("answer_refused", replace(READER, country=country))
    assert "European Data Protection Board" in body
    assert not any(authority.name in body for authority in read_policy().authorities.values())


@pytest.mark.parametrize(
    "name", [name for name, (kind, _) in SAMPLES.items() if kind not in {*TO_ORGANISATIONS, "old_contact", "breach"}]
)
def test_what_a_customer_gets_of_an_instruction_speaks_of_a_person_and_of_no_complaint(name: str) -> None:
    if f"{SAMPLES[name][0]}.instructed_subject" not in WORDINGS.keys:
        assert SAMPLES[name][0] not in {"acknowledgement", "answer", "question", "last_notice"}
        return
    body = body_of(name, CUSTOMER, instruction="INS-{2026}-7")
    assert "nstruction INS-{2026}-7" in body
    assert "complaint" not in body
    assert "judicial" not in body


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("right", Right)
def test_a_letter_names_the_right_and_the_person_who_has_shown_who_they_are(right: Right, language: Language) -> None:
    reader, asked = replace(READER, language=language), Term("asked", right)
    named, neutral = (body_of("update_reopened", reader, asked=asked, name=name) for name in ("Ada {Keller}", ""))
    assert named.count(LETTERS.words(asked, reader)) == 2, "in the subject and in the first sentence"
    assert ("Ada {Keller}" in named, in_words("letter.greeting", reader) in neutral) == (True, True)


def test_a_letter_has_no_zero_and_no_share_of_records() -> None:
    for name in SAMPLES:
        body = body_of(name)
        assert not re.search(r"\b0 record|: 0\b|\d+ of \d+ record", body), name


UNPROVED = TaskReport(
    task_id=uuid7(),
    system="cdr",
    operation="export",
    outcome=TaskOutcome.NOT_SEARCHED,
    not_searched="not_proved",
    level="L2",
)


def asking(**said: object) -> Request:
    return a_request(State.IN_PROGRESS, **said)


def test_a_customer_is_asked_about_a_person_and_not_about_themselves() -> None:
    instruction = asking(tenant="acme", instruction_id="INS-7")
    for request, question in (
        (instruction, Question.CLARIFICATION),
        (instruction, Question.IDENTITY),
        (replace(instruction, tasks=(UNPROVED,)), Question.IDENTITY),
    ):
        said = words(letter_kinds.question_wording(question, request))
        assert "person" in said
        assert "yours" not in said


def test_the_last_notice_fits_its_question() -> None:
    body = body_of("last_notice_unsearched")
    assert "what we could not search stays as it is" in body.lower()
    assert "what you mean" not in body


def test_request_for_proof_names_its_reason_and_what_suffices() -> None:
    tasks = (UNPROVED, UNPROVED.model_copy(update={"system": "voicemail"}))
    said = words(letter_kinds.question_wording(Question.IDENTITY, asking(tasks=tasks)))
    assert "For what cdr and voicemail may hold about you" in said
    assert "sign in to your customer account with a second factor, or to use a code that we send by post" in said


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_follows_what_has_begun_is_asked_to_confirm_nothing_that_begins(language: Language) -> None:
    first, again = (preview(name, language) for name in ("proof_link", "proof_link_begun"))
    assert (first.subject != again.subject, first.body != again.body) == (True, True)
    assert "https://privacy.example.com/portal" in again.body


def test_what_else_is_said_stands_before_where_to_complain() -> None:
    body = body_of("answer_refused", also=say("case.answered", case="C-7", right="access"))
    assert body.index("(case number C-7): access") < body.index("lodge a complaint")


def test_quoted_text_is_escaped() -> None:
    kind, fields = SAMPLES["extension"]
    letter = written(kind, {**fields, "explanation": "<script>alert(1)</script>\n& {two} lines"})
    assert "<script>" not in letter.html
    assert "<script>alert(1)</script>\n& {two} lines" in letter.body


def test_the_day_of_an_instant_is_the_day_where_the_reader_is() -> None:
    late = datetime(2026, 3, 5, 23, 30, tzinfo=UTC)
    said = say("letter.asked_on", asked_on=late)
    days = [LETTERS.words(said, replace(READER, zone=zone)) for zone in ("Europe/Berlin", "America/New_York")]
    assert [re.findall(r"\d+ March", day) for day in days] == [["6 March"], ["5 March"]]


@pytest.mark.parametrize(
    ("country", "language"), [("AT", "de"), ("FR", "fr"), ("ES", "es"), ("LU", "fr"), ("PL", "en"), (None, "en")]
)
def test_who_says_no_language_reads_that_of_the_country(country: str | None, language: str) -> None:
    assert read_languages().of(country) == language


def test_a_customer_is_reminded_in_the_language_of_our_customers_and_not_in_that_of_the_person() -> None:
    assert LETTERS.reader(asking(country="DE", language="de"), "controller_reminder").language == "en"


# The letter about a lift: that data are used again is said only where nothing else restricts them.
OTHER = Lines((say("restriction.stays_for", reference="019c0002", received_on=AT),))


@pytest.mark.parametrize("about", ["lifting_decided", "lifting_given_up"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_data_under_another_restriction_are_not_called_free(language: Language, about: str) -> None:
    reader = replace(READER, language=language)
    alone, with_other = (body_of(f"update_{about}", reader, others=others) for others in (Lines(), OTHER))
    again = in_words(f"update.again_{about}", reader)
    assert (again in alone, again in with_other) == (True, False)
    assert ("019c0002" in alone, "019c0002" in with_other) == (False, True)


# Words of letters: there for every reason, rule and kind of data, and the company's own where it has some.
def test_every_reason_that_may_be_given_has_words_and_no_other_has() -> None:
    reasons = read_reasons()
    given: dict[str, Collection[str]] = {"extension": read_time_limits().extension.reasons}
    given |= {"refuse": reasons.refuse, "answer_in_part": reasons.answer_in_part, "end_part": reasons.end_part}
    known = {f"reason.{decision}.{code}" for decision, codes in given.items() for code in codes}
    assert {key for key in read_wordings().keys if key.startswith("reason.")} == known


def test_the_policy_says_which_words_stand_for_its_rules_and_kinds_of_data() -> None:
    policy, keys = read_policy(), read_wordings().keys
    held = {name for category in policy.categories.values() for name in category.held_as} | policy.categories.keys()
    assert {f"category.{name}" for name in held} <= keys
    assert {f"ground.{rule}" for rule in policy.rules} <= keys


@pytest.mark.parametrize(
    ("words", "term"),
    [
        ("we must be able to show that you had consented", Term("ground", "consents_36m")),
        ("contracts and invoices are needed for tax purposes and to defend legal claims", Term("ground", "tax_law")),
        ("telling you about our products and offers", Term("purpose", "marketing")),
    ],
)
def test_company_wording_is_used_in_every_language(tmp_path: Path, words: str, term: Term) -> None:
    name = "categories.toml" if term.family == "purpose" else "retention.toml"
    letters = LetterFacts(policy=read_policy(changed(tmp_path, f'"{words}"', '"what our counsel says"', name)))
    for language in LANGUAGES:
        reader = replace(READER, language=language)
        assert letters.words(term, reader).startswith("what our counsel says")
        assert letters.words(Term("ground", "dispute"), reader) == LETTERS.words(Term("ground", "dispute"), reader)


def test_unsigned_period_of_backups_is_reported_as_undecided() -> None:
    erased = TaskReport(
        task_id=uuid7(), system="crm", operation=Operation.ERASE, outcome=TaskOutcome.ERASED, found=1, changed=1
    )
    closed = a_request(State.CLOSED, right=Right.ERASURE, outcome=Outcome.FULFILLED, tasks=(erased,))
    for letters, until in ((LETTERS, "by 9 April 2026"), (LetterFacts(policy=read_policy()), "not decided yet")):
        text = letters.words(letters.remains(closed, AT), READER)
        assert (until in text, "April" in text) == (True, letters is LETTERS)


def test_system_has_the_policys_name_in_the_readers_language(tmp_path: Path) -> None:
    named = '[systems.cdr]\nen = "call records"\nde = "Verbindungsdaten"\nfr = "appels"\nes = "llamadas"\n'
    (tmp_path / "systems.toml").write_text(named, encoding="utf-8")
    letters = LetterFacts(policy=read_policy(tmp_path))
    found = say("answer.nothing_in", systems=named_systems(["cdr", "legacy-crm"]))
    assert (
        letters.words(found, READER) == "We searched “call records” and legacy-crm, and hold no data about you there."
    )
    german = letters.words(found, replace(READER, language="de"))
    assert "„Verbindungsdaten“ und legacy-crm" in german
    assert "no marketing" in letters.words(named_system("marketing_objections"), READER), "our own list has a name"


@pytest.mark.parametrize(
    "text", ['[systems.cdr]\nde = "Anrufe"\n', '[systems.cdr]\nen = ""\n', '[systems.cdr]\nen = "x"\nxx = "x"\n']
)
def test_system_name_needs_english_and_known_languages(tmp_path: Path, text: str) -> None:
    (tmp_path / "systems.toml").write_text(text, encoding="utf-8")
    with pytest.raises(Misconfigured, match=r"systems\.toml"):
        read_policy(tmp_path)


# What a letter needs is kept as JSON until it is rendered.
WORDS, DAYS = st.text(max_size=9), st.dates() | st.datetimes(timezones=st.just(UTC))
FACTS = st.recursive(
    WORDS | st.integers(-(2**31), 2**31) | DAYS | st.builds(Term, WORDS, WORDS),
    lambda facts: (
        st.builds(Sentence, WORDS, st.dictionaries(WORDS, facts, max_size=3))
        | st.builds(FactList, st.lists(facts, max_size=3).map(tuple), st.booleans())
        | st.lists(st.builds(Sentence, WORDS, st.dictionaries(WORDS, facts, max_size=2)), max_size=3).map(tuple)
        | st.builds(Lines, st.lists(st.builds(Sentence, WORDS, st.just({})), max_size=3).map(tuple))
    ),
    max_leaves=9,
)


@given(FACTS)
def test_facts_are_the_same_after_json(fact: Fact) -> None:
    assert load(orjson.loads(dump(fact))) == fact


# Sentences in words: every key in every language, with the same facts, and each of them used.
WORDINGS = read_wordings()
SEARCHED_BY = frozenset(IdentityType) - {IdentityType.NAME}
BY_TERM = {
    "did": ANSWERING | {"erase_or_anonymise", "erase_or_suppress"},
    "asked": frozenset(Right),
    "letter_named": frozenset(KINDS),
    "in_part": frozenset(Right),
    "lifted_since": {Right.RESTRICTION, Right.RECTIFICATION, Right.OBJECTION},
    "unsearched": frozenset(Unsearched),
    "unsearched_of_person": frozenset(Unsearched),
    "known_by": frozenset(IdentityType),
    "right": frozenset(Right),
    "identity": SEARCHED_BY,
}
"""Families of words that stand for terms, and which terms they are."""
BY_POLICY = ("category.", "ground.", "reason.", "outcome.")
"""Prefixes of words for names of the policy, which test_letters.py checks."""
IN_PARTS = (
    *("answer.hear_by", "answer.pass_on_by", "asking.", "closing.", "last_notice.why_", "update.", "finding."),
    *("restriction.lifted", "restriction.to_be_lifted", "recipient_notice.recipients", "recipient_notice.not_"),
    *("question.enough_", "question.identity", "question.clarification", "proof_link.begun_ask"),
    *("work.searched", "work.stated", "work.unchanged", "recipient_notice.part_", "recipient_notice.all_"),
    *("purpose.", "portal_right.", "portal_ground.", "portal_scope.", "portal_whom.", "portal_field."),
    *("portal.answered", "portal.withdrawn", "portal.right_title_", "portal.consent_title_", "portal.ground_title_"),
    *("portal_error.", "portal.not_withdrawn", "portal.fetching", "portal.proof_"),
    *("portal.scope_title_", "portal.whom_title_"),
)
"""Keys that the code puts together."""


def in_language(language: Language, fact: Sentence | FactList | int) -> str:
    return WORDINGS.of(language, "Europe/Berlin").text(fact)


def test_every_key_is_used_and_every_key_that_is_used_has_words() -> None:
    code = [*Path("services").rglob("*.py"), *Path("shared").rglob("*.py")]
    pages = [*Path("services").rglob("*.html"), *Path("shared/policy").rglob("*.html")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*code, *pages])
    said = set(re.findall(r'say\("(\w+\.\w+)"', text))
    assert {key for key in said if key not in WORDINGS.keys and not key.endswith("_")} == set()
    named = set(re.findall(r'"(\w+\.\w+)"', text))
    by_kind = re.compile(r"\w+\.(\w+_)?subject")
    by_term = tuple(f"{family}." for family in BY_TERM)
    unused = {key for key in WORDINGS.keys - named if not by_kind.fullmatch(key)}
    assert {key for key in unused if not key.startswith((*by_term, *BY_POLICY, *IN_PARTS))} == set()


@pytest.mark.parametrize("family", [family for family, terms in BY_TERM.items() if terms])
def test_every_term_has_words(family: str) -> None:
    assert {key for key in WORDINGS.keys if key.startswith(f"{family}.")} == {
        f"{family}.{term}" for term in BY_TERM[family] or ()
    }


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "Before that, we had erased 1 record in crm, 1,200 records in cdr."),
        ("de", "Zuvor hatten wir gelöscht: 1 Datensatz in crm, 1.200 Datensätze in cdr."),
        ("fr", "Auparavant, nous avions effacé : 1 enregistrement dans crm, 1\u202f200 enregistrements dans cdr."),
        ("es", "Antes habíamos suprimido: 1 registro en crm, 1.200 registros en cdr."),
    ],
)
def test_numbers_and_plurals_are_those_of_the_language(language: Language, said: str) -> None:
    counted = (say("before.counted", count=1, system="crm"), say("before.counted", count=1_200, system="cdr"))
    assert in_language(language, say("before.erased", where=FactList(counted, final=False))) == said


@pytest.mark.parametrize(("language", "said"), [("en", "a, b and c"), ("de", "a, b und c"), ("fr", "a, b et c")])
def test_a_list_ends_as_the_language_ends_it(language: Language, said: str) -> None:
    assert in_language(language, fact_list(["c", "a", "b", "a"])) == said


@pytest.mark.parametrize(
    ("cited", "said"),
    [
        ("16", ["16", "16", "16", "16"]),
        ("18(1)", ["18(1)", "18 Abs. 1", "18, paragraphe 1,", "18, apartado 1,"]),
        ("17(b)", ["17(b)", "17 lit. b", "17, point b),", "17, letra b),"]),
        ("12(5)(b)", ["12(5)(b)", "12 Abs. 5 lit. b", "12, paragraphe 5, point b),", "12, apartado 5, letra b),"]),
    ],
)
def test_an_article_is_cited_as_each_language_cites_it(cited: str, said: list[str]) -> None:
    assert [in_language(language, article(cited)) for language in ("en", "de", "fr", "es")] == said


def test_what_two_facts_of_a_list_say_alike_is_said_once() -> None:
    assert words(FactList((article("17(1)"), article("6(1)"), article("17(1)")))) == "17(1) and 6(1)"


@pytest.mark.parametrize(
    ("language", "said"),
    [("fr", ("1er janvier 2027", "11 janvier 2027")), ("de", ("1. Januar 2027", "11. Januar 2027"))],
)
def test_the_first_of_a_month_is_written_as_the_language_writes_it(language: Language, said: tuple[str, str]) -> None:
    reader = WORDINGS.of(language, "Europe/Berlin")
    assert (reader.text(date(2027, 1, 1)), reader.text(date(2027, 1, 11))) == said


def test_word_without_a_translation_is_shown_unchanged() -> None:
    assert words(Term("category", "fax_line")) == "fax line"
    assert words(say("kept.open", system="crm", ground=Term("ground", "court_order"))).startswith(
        "In crm we keep data of yours, because of: court order."
    )
    assert words(Term("reason.refuse", "NO_LONGER_LISTED")) == "no longer listed"


@pytest.mark.parametrize(
    ("language", "text", "says"),
    [
        ("es", 'c = "x"', "b: is missing in es; write it"),
        ("es", 'b = "{x}"\nc = "x"', "c: is missing in en; write it, or delete it everywhere"),
        ("fr", 'b = "{y}"', "fr has other facts than en; write or delete {x}, {y}"),
        (
            "de",
            'b = { on = "x", few = "{x}", other = "{x}" }',
            "de has other plural forms than the language; write one, other",
        ),
        ("en", "", "holds no words"),
    ],
)
def test_incomplete_words_are_refused_with_the_key(tmp_path: Path, language: Language, text: str, says: str) -> None:
    for each in LANGUAGES:
        (tmp_path / each / "words").mkdir(parents=True)
        (tmp_path / each / "words" / "some.toml").write_text(text if each == language else 'b = "{x}"')
    with pytest.raises(Misconfigured) as refused:
        read_wordings(tmp_path)
    assert says in str(refused.value)
