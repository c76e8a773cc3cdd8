"""Sentences in words: every key in every language, with the same facts, and each of them used."""

import re
from datetime import date
from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.domain.operations import ANSWERING, Unsearched
from shared.domain.rights import Right
from shared.domain.sentences import Listed, Sentence, Term, article, listed, say
from shared.domain.wording import LANGUAGES, Language, read_wordings
from tests.fixtures.words import words

WORDINGS = read_wordings()
SEARCHED_BY = frozenset(IdentityType) - {IdentityType.NAME}
BY_TERM = {
    "did": ANSWERING | {"erase_or_anonymise"},
    "unsearched": frozenset(Unsearched),
    "unsearched_of_person": frozenset(Unsearched),
    "known_by": frozenset(IdentityType),
    "right": frozenset(Right),
    "identity": SEARCHED_BY,
}
"""Families of words that stand for terms, and which terms they are."""
BY_POLICY = ("category.", "ground.", "reason.", "outcome.")
"""Those that stand for what the policy names: tests/unit/test_letters.py looks at these."""
IN_PARTS = (
    *("answer.in_part_", "answer.clear_part_", "answer.hear_by", "answer.pass_on_by"),
    *("restriction.lifted", "restriction.to_be_lifted", "recipient_notice.told", "recipient_notice.not_"),
    *("question.enough_", "question.identity", "question.clarification", "objection_weighed.finding_"),
    *("work.searched", "work.stated", "work.unchanged", "recipient_notice.part_", "recipient_notice.all_"),
    *("purpose.", "portal_right.", "portal_ground.", "portal_scope.", "portal_whom.", "portal_field."),
    *("portal.answered", "portal.withdrawn", "portal.right_title_", "portal.consent_title_", "portal.ground_title_"),
    *("portal_error.", "portal.not_withdrawn", "portal.fetching", "portal.proof_"),
    *("portal.scope_title_", "portal.whom_title_"),
)
"""Keys that the code puts together."""


def in_language(language: Language, told: Sentence | Listed | int) -> str:
    return WORDINGS.of(language, "Europe/Berlin").text(told)


def test_every_key_is_used_and_every_key_that_is_used_has_words() -> None:
    code = [*Path("services").rglob("*.py"), *Path("shared").rglob("*.py")]
    pages = [*Path("services").rglob("*.html"), *Path("shared/policy").rglob("*.html")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*code, *pages])
    said = set(re.findall(r'say\("(\w+\.\w+)"', text))
    assert {key for key in said if key not in WORDINGS.keys and not key.endswith("_")} == set()
    named = set(re.findall(r'"(\w+\.\w+)"', text))
    by_kind = re.compile(r"\w+\.(subject|instructed_subject|begun_subject|(why|again)_\w+)")
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
    assert in_language(language, say("before.erased", where=Listed(counted, final=False))) == said


@pytest.mark.parametrize(("language", "said"), [("en", "a, b and c"), ("de", "a, b und c"), ("fr", "a, b et c")])
def test_a_list_ends_as_the_language_ends_it(language: Language, said: str) -> None:
    assert in_language(language, listed(["c", "a", "b", "a"])) == said


@pytest.mark.parametrize(
    ("cited", "said"),
    [
        ("16", ["16", "16", "16", "16"]),
        ("18(1)", ["18(1)", "18 Abs. 1", "18, paragraphe 1,", "18, apartado 1,"]),
        ("17(b)", ["17(b)", "17 lit. b", "17, point b),", "17, letra b),"]),
        (
            "12(5)(b)",
            ["12(5)(b)", "12 Abs. 5 lit. b", "12, paragraphe 5, point b),", "12, apartado 5, letra b),"],
        ),
    ],
)
def test_an_article_is_cited_as_each_language_cites_it(cited: str, said: list[str]) -> None:
    assert [in_language(language, article(cited)) for language in LANGUAGES] == said


def test_what_two_facts_of_a_list_say_alike_is_said_once() -> None:
    assert words(Listed((article("17(1)"), article("6(1)"), article("17(1)")))) == "17(1) and 6(1)"


@pytest.mark.parametrize(
    ("language", "said"),
    [("fr", ("1er janvier 2027", "11 janvier 2027")), ("de", ("1. Januar 2027", "11. Januar 2027"))],
)
def test_the_first_of_a_month_is_written_as_the_language_writes_it(language: Language, said: tuple[str, str]) -> None:
    reader = WORDINGS.of(language, "Europe/Berlin")
    assert (reader.text(date(2027, 1, 1)), reader.text(date(2027, 1, 11))) == said


def test_a_word_that_nobody_has_put_into_words_is_shown_as_it_is() -> None:
    assert words(Term("category", "fax_line")) == "fax line"
    assert words(say("answer.kept", system="crm", ground=Term("ground", "court_order"))).startswith(
        "Kept in crm because of: court order;"
    )
    assert words(Term("reason.refuse", "NO_LONGER_LISTED")) == "no longer listed"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('a.b = { en = "x", de = "x", fr = "x" }', "a.b: is missing in es; write it"),
        ('a.b = { en = "{x}", de = "{x}", fr = "{y}", es = "{x}" }', "fr has other facts than en; write or delete {x}"),
        ('a.b = { en = "x", de = "x", fr = "x", es = "x", it = "x" }', "it is none of our languages"),
        (
            'a.b = { en = "{count}", de = { few = "{count}", other = "{count}" }, fr = "{count}", es = "{count}" }',
            "de has other plural forms than the language; write one, other",
        ),
        ('a = "x"', "is missing in en, de, fr, es"),
        ("", "holds no words"),
    ],
)
def test_words_that_are_not_whole_are_refused_with_the_key_and_what_to_write(
    tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "words.toml").write_text(text)
    with pytest.raises(Misconfigured) as refused:
        read_wordings(tmp_path)
    assert says in str(refused.value)
