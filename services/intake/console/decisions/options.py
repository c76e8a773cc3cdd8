"""What a field of a decision offers: the words of the policy, and what stands in the request itself; pure."""

from collections.abc import Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale

from services.intake.console.decisions.decision import Options, Subject
from services.intake.proposed import Matter
from services.intake.recipients import NoticeState
from services.intake.request import deferrals
from services.intake.request.reasons import Proposed
from shared.domain import wording
from shared.domain.notices import Reader
from shared.domain.sentences import Fact, Term
from shared.domain.wording import ENGLISH, Language

LANGUAGES: Final[Mapping[Language, str]] = {each: str(Locale.parse(each).english_name) for each in wording.LANGUAGES}
"""Those in which people are written to."""


def words(subject: Subject, fact: Fact) -> str:
    """A fact as people of ours read it."""
    zone = subject.works.services.processing.controller.zone
    return subject.works.services.use_cases.letters.words(fact, Reader(ENGLISH, ZoneInfo(zone).key, None))


async def proposed(subject: Subject, matter: Matter, recipient: str | None = None) -> Sequence[tuple[str, str]]:
    """What waits for a second person, in its own words; that it was read is on record."""
    use_cases = subject.works.services.use_cases
    found = await use_cases.proposed_step(subject.of_request.request_id, subject.person.caller, matter, recipient)
    reason = words(subject, Term("reason.extension", found.proposed)) if matter == "extension" else found.proposed
    return [
        ("Proposed", f"{f'{recipient}: ' if recipient else ''}{reason.replace('_', ' ')}"),
        *([("New date", f"{found.new_due}")] if found.new_due else []),
        ("Proposed by", found.proposed_by),
        ("In these words", found.explanation),
    ]


def plain(*values: str) -> Options:
    """Words of ours, as they are read."""
    return [(value, value.replace("_", " ")) for value in values]


def reasons(decision: Proposed, subject: Subject) -> Options:
    """Each reason that the policy has for this right, by each article by which it holds."""
    known = subject.works.services.use_cases.reasons.of(decision).items()
    mine = [(code, each) for code, each in known if subject.of_request.right in each.rights]
    return [
        (f"{code} {article}", f"Art. {article}: {words(subject, Term(f'reason.{decision}', code))}")
        for code, reason in mine
        for article in reason.articles
    ]


def extension_reasons(subject: Subject) -> Options:
    """Why a request may need more time, by the policy."""
    known = subject.works.services.use_cases.policy.extension.reasons
    return [(each, words(subject, Term("reason.extension", each))) for each in sorted(known)]


def methods(subject: Subject) -> Options:
    """Returns how somebody may have proved who they are to a person, and how much that proves."""
    known = subject.works.services.use_cases.identity.methods.items()
    by_hand = [(name, method) for name, method in sorted(known) if method.by_hand]
    return [(name, f"{name.replace('_', ' ')} ({method.level} at most)") for name, method in by_hand]


def by_hand(subject: Subject) -> Options:
    """The systems that a person works by hand."""
    tasks = subject.of_request.tasks or ()
    return plain(*sorted({task.system for task in tasks if deferrals.may_be_done_by_hand(task)}))


def limits(subject: Subject) -> Options:
    """The systems that wait for two persons, with what was found there and what is allowed."""
    return [
        (
            f"{task.system} {task.exceeded.limit}",
            f"{task.system}: {task.exceeded.found} found, {task.exceeded.allowed} allowed",
        )
        for task in subject.of_request.tasks or ()
        if task.exceeded
    ]


def retired(subject: Subject) -> Options:
    """The systems that are gone, and in which something is missing."""
    tasks = subject.of_request.tasks or ()
    return plain(*sorted({task.system for task in tasks if task.failure == "system_retired"}))


def recipients(subject: Subject, *, proposed: bool = False) -> Options:
    """Recipients who were not told yet; ``proposed``: those who are not to be told, if another person agrees."""
    policy, notices = subject.works.services.processing, subject.file.notices if subject.file else ()
    found: Sequence[str] = [
        each.recipient
        for each in notices
        if each.state is NoticeState.UNDERWAY and (each.waiver is not None or not proposed)
    ]
    return [(name, policy.recipients[name].name if name in policy.recipients else name) for name in found]
