"""Letters: plain words that name the reason, the new date, where to complain, and the way to a court."""

import tomllib
from pathlib import Path

import pytest

from services.intake.letters import KINDS, LETTERS, LetterKind, Letters
from shared.domain.errors import Misconfigured
from shared.domain.time_limit_policy import Question, read_policy

FIELDS = {
    "received_on": "05 March 2026",
    "reference": "019c0000",
    "new_due": "04 June 2026",
    "reason": "the amount is large.",
    "explanation": "Nine {braces} of archives.",
    "question": "Which {number} is yours?",
    "asked_on": "06 March 2026",
    "answered_on": "20 April 2026",
    "controller": "Harbour {Cranes} Ltd",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("country", "authority"),
    [("DE", "Bundesbeauftragte"), ("GB", "Information Commissioner"), ("LV", "edpb.europa.eu")],
)
def test_every_letter_names_the_authority_of_the_country_and_the_judicial_remedy(
    kind: LetterKind, country: str, authority: str
) -> None:
    letter = Letters().write(kind, country, FIELDS)
    for words in (authority, "complaint", "judicial remedy", "05 March 2026", "019c0000"):
        assert words in letter.body
    assert letter.subject


def test_an_extension_says_until_when_and_why_in_the_words_that_were_written() -> None:
    body = Letters().write("extension", "DE", FIELDS).body
    assert "04 June 2026" in body
    assert "the amount is large." in body
    assert "Nine {braces} of archives." in body


@pytest.mark.parametrize("kind", ["question_reminder", "identity_last_notice", "clarification_last_notice"])
def test_who_has_not_answered_reads_the_question_again_and_when_it_was_sent(kind: LetterKind) -> None:
    body = Letters().write(kind, "DE", FIELDS).body
    assert "Which {number} is yours?" in body
    assert "06 March 2026" in body


@pytest.mark.parametrize(
    ("kind", "done"), [("identity_last_notice", "no action"), ("clarification_last_notice", "the part of your request")]
)
def test_a_last_notice_says_what_is_done_why_not_more_and_that_one_may_resume_at_any_time(
    kind: LetterKind, done: str
) -> None:
    body = " ".join(Letters().write(kind, "DE", FIELDS).body.split())
    for words in (done, "We have had no answer", "You may resume it at any time", "in the same way"):
        assert words in body


def test_who_resumes_a_request_reads_by_when_it_is_due_now() -> None:
    body = " ".join(Letters().write("reopened", "DE", FIELDS).body.split())
    assert "reached us on 20 April 2026" in body
    assert "by 04 June 2026" in body


def test_somebody_whom_nobody_has_asked_is_asked_how_they_can_prove_who_they_are() -> None:
    assert "confirm your request" in Letters().standing(Question.IDENTITY)


def test_every_allowed_reason_has_words_and_no_other_has() -> None:
    reasons = tomllib.loads((LETTERS / "extension.toml").read_text())["reasons"]
    assert set(reasons) == read_policy().extension.reasons
    assert all(Letters().reason(code) == words for code, words in reasons.items())


def test_a_folder_without_letters_says_so(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be used"):
        Letters(tmp_path)


def test_who_was_forwarded_reads_that_the_controller_answers_and_its_name_only_where_it_may_be_told() -> None:
    letters = Letters()
    named = letters.write("forwarded", "DE", FIELDS | {"controller": letters.controller("Harbour {Cranes} Ltd")}).body
    unnamed = letters.write("forwarded", "DE", FIELDS | {"controller": letters.controller(None)}).body
    assert "passed your request on to Harbour {Cranes} Ltd." in named
    assert "passed your request on to the customer for whom we process the data." in unnamed
    for body in (named, unnamed):
        assert "They have been informed and will answer you." in body
