"""Letters: plain words that name the reason, the new date, where to complain, and the way to a court."""

import tomllib
from pathlib import Path

import pytest

from services.intake.letters import KINDS, LETTERS, TO_CONTROLLER, LetterKind, Letters
from shared.domain.errors import Misconfigured
from shared.domain.time_limit_policy import read_policy
from tests.fixtures.requests import AT

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
    "instruction": "INS-{2026}-7",
    "article": "12(4)",
    "cause": "decided",
    "first": "019c0001",
    "finding": "Our grounds override it.",
    "first_received_on": "01 March 2026",
    "first_due": "31 March 2026",
    "standing": "We are working on your request.",
    "code": "NBSWY3DPEB3W64TMMQQQAAAA",
    "answer": "Your personal data was erased.",
    "done": "- crm: 1 of 1 records erased.",
    "lifted_on": "07 March 2026",
    "fetch": "You can fetch the copy until 19 March 2026.",
    "others": "Your data stay restricted for your request of 02 March 2026.",
    "changed": "Nothing was changed in any system.",
    "system": "cdr",
    "forwarded_on": "09 March 2026",
    "to": "Harbour {Cranes} Ltd",
    "right": "access",
    "erasure": "019c0002",
    "restriction": "019c0003",
}


def said_by(kind: LetterKind) -> dict[str, str]:
    return FIELDS | ({"cause": "meaning"} if kind == "clarification_last_notice" else {})


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in TO_CONTROLLER])
@pytest.mark.parametrize(
    ("country", "authority"),
    [
        ("DE", "Bundesbeauftragte"),
        ("GB", "Information Commissioner"),
        ("LV", "edpb.europa.eu"),
        (None, "in which you live, in which you work, or in which you think"),
    ],
)
def test_every_letter_names_the_authority_of_the_country_and_the_judicial_remedy(
    kind: LetterKind, country: str | None, authority: str
) -> None:
    letter = Letters().write(kind, country, said_by(kind))
    for words in (authority, "complaint", "judicial remedy", "05 March 2026", "019c0000"):
        assert words in letter.body
    assert letter.subject


QUESTION = ("Which {number} is yours?", "06 March 2026")
LAST_NOTICE = (*QUESTION, "We have had no answer", "You may resume it at any time", "in the same way")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("extension", ("04 June 2026", "the amount is large.", "Nine {braces} of archives.")),
        ("question_reminder", QUESTION),
        ("identity_last_notice", (*LAST_NOTICE, "no action")),
        ("clarification_last_notice", (*LAST_NOTICE, "we do not know what you mean by it")),
        ("proof_question", ("begun with what you have shown to be yours", "we go on with the rest")),
        ("proof_last_notice", (*LAST_NOTICE, "We answer the rest of your request")),
        (
            "refusal",
            ("Nothing was changed in any", "The reason: the amount is large. The law", "Article 12(4) of", "{braces}"),
        ),
        ("partial", ("reason for what is missing: the amount is large. The law", "Article 12(4) of", "{braces}")),
        ("forwarded", ("passed your request on to Harbour {Cranes} Ltd.", "have been informed and will answer you.")),
        ("reopened", ("reached us on 20 April 2026", "by 04 June 2026")),
        ("acknowledgement", ("working on your request", "019c0000", "NBSWY3DPEB3W64TMMQQQAAAA")),
        ("completion", ("Your personal data was erased.", "- crm: 1 of 1 records erased.")),
        ("no_data", ("Where we searched: - crm",)),
        ("unidentified", ("- crm: 1 of 1", "If you tell us more", "name the reference")),
        ("withdrawal", ("What had been done before that", "- crm: 1 of 1")),
        ("assisted", ("your instruction INS-{2026}-7", "one who answers the person", "Article 12(4) of", "- crm: 1")),
        ("lifting", ("On 07 March 2026 we decided", "before we do")),
        ("package_withheld", ("told you that a copy is ready", "nobody can fetch it", "write to you")),
        ("package_released", ("looked at it again", "until 19 March 2026")),
        ("forwarded_part", ("have answered it as far as we decide",)),
        (
            "reminder_to_controller",
            ("To Harbour {Cranes} Ltd", "on 09 March 2026. We have heard nothing", "(access; reference 019c0000)"),
        ),
        ("notice_to_old_contact", ("no longer have this address or number", "tell us at once")),
    ],
)
def test_a_letter_says_what_the_subject_needs_to_know_in_the_words_that_were_written(
    kind: LetterKind, said: tuple[str, ...]
) -> None:
    body = " ".join(Letters().write(kind, "DE", said_by(kind)).body.split())
    for words in said:
        assert words in body


def test_the_last_notice_fits_its_question() -> None:
    body = Letters().write("clarification_last_notice", "DE", FIELDS | {"cause": "unsearched"}).body
    assert "what we could not search stays as it is" in " ".join(body.split()).lower()
    assert "what you mean" not in body


def test_whoever_is_asked_for_proof_reads_for_what_it_is_needed_and_what_would_be_enough() -> None:
    said = " ".join(Letters().proof(["cdr", "voicemail"], "L2").split())
    assert "For what cdr, voicemail may hold about you" in said
    assert "with a second factor, from both an e-mail address and a phone number" in said


def test_what_goes_to_a_customer_names_no_authority_to_complain_to() -> None:
    for kind in TO_CONTROLLER:
        assert "complaint" not in Letters().write(kind, "DE", FIELDS).body


def test_what_else_is_said_stands_before_where_to_complain() -> None:
    besides = Letters().part_forwarded("Harbour {Cranes} Ltd", AT)
    body = " ".join(Letters().write("completion", "DE", FIELDS | {"besides": besides}).body.split())
    assert body.index("that part on to Harbour {Cranes} Ltd on 05 March 2026.") < body.index("lodge a complaint")


def test_a_controller_who_may_not_be_named_is_the_customer() -> None:
    assert Letters().controller(None) == "the customer for whom we process the data"


def test_every_allowed_reason_has_words_and_no_other_has() -> None:
    reasons = tomllib.loads((LETTERS / "extension.toml").read_text())["reasons"]
    assert set(reasons) == read_policy().extension.reasons
    assert all(Letters().reason(code) == words for code, words in reasons.items())


def test_a_folder_without_letters_says_so(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be used"):
        Letters(tmp_path)
