"""Words of letters: there for every reason, rule and kind of data, and the company's own where it has some."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest
from uuid_utils.compat import uuid7

from services.intake.letters.rendering import Letters
from services.intake.request.lifecycle import State
from services.intake.request.reasons import read_reasons
from shared.domain.errors import Misconfigured
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.policy import read_policy
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import Term, named_system, named_systems, say
from shared.domain.time_limit_policy import read_policy as read_time_limits
from shared.domain.wording import LANGUAGES, read_wordings
from tests.fixtures.policy import changed
from tests.fixtures.requests import AT, a_request
from tests.fixtures.words import LETTERS, READER


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
        ("telephone companies in the United States keep records of billed calls", Term("ground", "calls_us_18m")),
        ("contracts and invoices are needed for tax purposes and to defend legal claims", Term("ground", "tax_law")),
        ("telling you about our products and offers", Term("purpose", "marketing")),
    ],
)
def test_what_the_company_words_by_itself_is_told_in_its_own_words_in_every_language(
    tmp_path: Path, words: str, term: Term
) -> None:
    name = "categories.toml" if term.family == "purpose" else "retention.toml"
    letters = Letters(policy=read_policy(changed(tmp_path, f'"{words}"', '"what our counsel says"', name)))
    for language in LANGUAGES:
        reader = replace(READER, language=language)
        assert letters.words(term, reader) == "what our counsel says"
        assert letters.words(Term("ground", "dispute"), reader) == LETTERS.words(Term("ground", "dispute"), reader)


def test_a_period_of_backups_that_nobody_has_signed_is_told_as_not_decided() -> None:
    erased = TaskReport(
        task_id=uuid7(), system="crm", operation=Operation.ERASE, outcome=TaskOutcome.ERASED, found=1, changed=1
    )
    closed = a_request(State.CLOSED, right=Right.ERASURE, outcome=Outcome.FULFILLED, tasks=(erased,))
    for letters, until in ((LETTERS, "by 9 April 2026"), (Letters(policy=read_policy()), "not decided yet")):
        told = letters.words(letters.remains(closed, AT), READER)
        assert (until in told, "April" in told) == (True, letters is LETTERS)


def test_a_system_is_called_what_the_policy_calls_it_in_the_language_of_whoever_reads_of_it(tmp_path: Path) -> None:
    named = '[systems.cdr]\nen = "call records"\nde = "Verbindungsdaten"\nfr = "appels"\nes = "llamadas"\n'
    (tmp_path / "systems.toml").write_text(named, encoding="utf-8")
    letters = Letters(policy=read_policy(tmp_path))
    told = say("answer.nothing_in", systems=named_systems(["cdr", "legacy-crm"]))
    assert letters.words(told, READER) == "We searched “call records” and legacy-crm, and hold no data about you there."
    german = letters.words(told, replace(READER, language="de"))
    assert "„Verbindungsdaten“ und legacy-crm" in german
    assert "no marketing" in letters.words(named_system("marketing_objections"), READER), "our own list has a name"


@pytest.mark.parametrize("text", ['[systems.cdr]\nen = "calls"\n', '[systems.cdr]\nen = ""\n'])
def test_a_name_of_a_system_that_a_language_lacks_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "systems.toml").write_text(text, encoding="utf-8")
    with pytest.raises(Misconfigured, match=r"systems\.toml"):
        read_policy(tmp_path)
