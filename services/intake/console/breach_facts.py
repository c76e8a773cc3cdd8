"""What is read before a step is taken with a breach: what is proposed, what counts, and what the 72 hours are at."""

from collections.abc import Sequence

from services.intake.breach.breaches import Breach
from services.intake.breach.notices import Notice
from services.intake.breach.record import Record
from services.intake.console.console import local
from services.intake.console.decisions import options
from services.intake.console.decisions.decision import Subject


def found(subject: Subject) -> Breach:
    """The breach that is decided about."""
    row: Record = subject.row
    return row.breach


async def later(subject: Subject) -> Sequence[tuple[str, str]]:
    """The later hour that is proposed, and why."""
    row: Record = subject.row
    if row.later is None:
        return ()
    at = local(subject.works, row.later.said.found_at)
    return [("Found", at), ("Proposed by", row.later.proposed_by), ("Why", row.later.said.reasons)]


def later_version(row: Record) -> int:
    """Of the later hour that a page has shown: another one has another number."""
    return row.later.correction_id.int >> 72 if row.later else 0


def version_of(row: Record) -> int:
    """Of the assessment that a page has shown: another one has another number."""
    return row.assessment.judged.assessment_id.int >> 72 if row.assessment else 0


def _clock(subject: Subject) -> tuple[str, str]:
    """Whether the authority was told, and what is left of the 72 hours."""
    breach, now = found(subject), subject.works.services.unit_of_work.clock.now()
    if breach.told_at:
        late = ", after the 72 hours" if breach.told_at > breach.notify_by else ""
        return "Authority", f"told {local(subject.works, breach.told_at)}{late}"
    ended = "ended" if breach.notify_by < now else "end"
    return "Authority", f"not told; the 72 hours {ended} {local(subject.works, breach.notify_by)}"


def _of_authority(subject: Subject) -> Sequence[tuple[str, str]]:
    """What the assessment says of the notice to the authority, which is another matter than who else is told."""
    row: Record = subject.row
    none = row.assessment is not None and row.assessment.said.no_risk
    said = (
        "unlikely: the authority need not be told"
        if none
        else "there is one: the authority, or the customer who decides, must be told"
    )
    return [_clock(subject), ("Risk to anybody's rights (Art. 33(1))", said)]


async def standing(subject: Subject) -> Sequence[tuple[str, str]]:
    """What is so as it is closed: nobody overlooks that the authority was not told, or that it is late."""
    row: Record = subject.row
    judged = row.assessment.judged if row.assessment else None
    agreed = f"agreed by {judged.approved_by}" if judged and judged.agreed else "a second person has not agreed"
    if judged and judged.void_at:
        agreed = "to be judged anew: what has happened was stated otherwise since"
    waits = [("Waits for a second person", f"that the {each.whom} was told then") for each in waiting(subject)]
    return [*(_of_authority(subject) if judged else [_clock(subject)]), *waits, ("Its risk", agreed)]


def waiting(subject: Subject) -> list[Notice]:
    """The notices that count only once somebody else has agreed, the first one first."""
    row: Record = subject.row
    return [notice for notice, _ in row.notices if notice.waits]


async def noted(subject: Subject) -> Sequence[tuple[str, str]]:
    """The first notice that waits for a second person: when they were told by it, and when it was noted."""
    row: Record = subject.row
    first = next((each for each in row.notices if each[0].waits), None)
    if first is None:
        return ()
    notice, said = first
    told, noted_at = (local(subject.works, each) for each in (notice.told_at, notice.noted_at))
    by = f"{noted_at}, by {notice.noted_by}"
    named = [("Who", f"{notice.whom}: {said.to}"), ("Told", told), ("Noted", by), ("What", said.what)]
    return [_clock(subject), *named, ("Why it is noted only now", said.delay or "not said")]


def notice_version(row: Record) -> int:
    """Of the notice that a page has shown: another one has another number."""
    return next((notice.notice_id.int >> 72 for notice, _ in row.notices if notice.waits), 0)


async def proposed(subject: Subject) -> Sequence[tuple[str, str]]:
    """How its owner judges the risk, and what follows for the authority and for the persons."""
    row: Record = subject.row
    if row.assessment is None:
        return ()
    said = row.assessment.said
    told = "told by letter" if said.tells else f"not told: {said.exemption or 'no high risk (Art. 34)'}"
    words = [
        (f"{options.LANGUAGES[language]}: {name}", text)
        for language, spoken in said.words.items()
        for name, text in spoken.model_dump().items()
    ]
    concerned = "\n".join(map(str, said.concerned)) or "none"
    return [
        *_of_authority(subject),
        ("Persons", told),
        ("Why", said.reasons),
        ("Letters to requests", concerned),
        *words,
    ]
