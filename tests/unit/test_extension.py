"""An extension is valid only in time, with an allowed reason told in words, and by two persons."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest

from services.intake.request.extension import Extension, ExtensionFlaw, Received, flaws
from shared.domain.time_limit import Arrival, limits
from shared.domain.time_limit_policy import read_policy

POLICY = read_policy()
LIMITS = limits(Arrival(datetime(2026, 3, 5, 9, tzinfo=UTC), ("Europe/Berlin", "America/New_York"), "DE-BE"), POLICY)
VALID = Extension(
    notice_sent_at=LIMITS.commit_due_instant - timedelta(seconds=1),
    reason="VOLUME",
    explanation="Eleven years of calls must be read and redacted.",
    new_due=LIMITS.commit_due_extended,
    proposed_by="officer-1",
    approved_by="officer-2",
)


def test_an_extension_told_on_the_last_day_with_a_reason_and_two_persons_is_valid_once() -> None:
    for approved_by in (None, VALID.approved_by):
        assert flaws(replace(VALID, approved_by=approved_by), LIMITS, POLICY, already_extended=False) == ()
    assert flaws(VALID, LIMITS, POLICY, already_extended=True) == (ExtensionFlaw.ALREADY_EXTENDED,)


@pytest.mark.parametrize(
    ("extension", "flaw"),
    [
        (replace(VALID, notice_sent_at=LIMITS.commit_due_instant), ExtensionFlaw.NOTICE_TOO_LATE),
        (replace(VALID, new_due=LIMITS.commit_due_extended + timedelta(days=1)), ExtensionFlaw.DATE_TOO_LATE),
        (replace(VALID, new_due=date(2026, 4, 4)), ExtensionFlaw.DATE_NOT_LATER),
        (replace(VALID, explanation=" "), ExtensionFlaw.NO_EXPLANATION),
        (replace(VALID, approved_by="officer-1"), ExtensionFlaw.SAME_PERSON),
        *(
            (replace(VALID, reason=reason), ExtensionFlaw.REASON_NOT_ALLOWED)
            for reason in ("WORKLOAD", "STAFF_ABSENCE", "COMPANY_SIZE", "SYSTEM_DOWN", "")
        ),
    ],
)
def test_one_flaw_is_named_and_the_original_dates_stay(extension: Extension, flaw: ExtensionFlaw) -> None:
    assert flaws(extension, LIMITS, POLICY, already_extended=False) == (flaw,)


def test_what_takes_effect_at_once_is_never_extended() -> None:
    judged = partial(flaws, VALID, LIMITS, POLICY, already_extended=False)
    assert judged(of_marketing=True) == (ExtensionFlaw.DIRECT_MARKETING,)
    assert judged(of_consent=True) == (ExtensionFlaw.CONSENT_WITHDRAWAL,)


@pytest.mark.parametrize(
    ("received", "flaw"),
    [
        (None, (ExtensionFlaw.NO_SURGE,)),
        (Received(199, 100), (ExtensionFlaw.NO_SURGE,)),
        (Received(500, 0), (ExtensionFlaw.NO_SURGE,)),  # nothing is known of what is usual
        (Received(200, 100), ()),
    ],
)
def test_a_surge_is_a_reason_only_where_the_record_shows_one(
    received: Received | None, flaw: tuple[ExtensionFlaw, ...]
) -> None:
    surge = replace(VALID, reason="EXCEPTIONAL_SURGE")
    assert flaws(surge, LIMITS, POLICY, already_extended=False, received=received) == flaw


def test_every_flaw_is_told_at_once() -> None:
    wrong = replace(VALID, reason="WORKLOAD", approved_by="officer-1")
    both = (ExtensionFlaw.REASON_NOT_ALLOWED, ExtensionFlaw.SAME_PERSON)
    assert flaws(wrong, LIMITS, POLICY, already_extended=False) == both
