"""What came of the checks: a word for each, with the reason where one is needed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.errors import DsrError, NotSupported, Refused, Unavailable
from shared.domain.operations import TaskOutcome
from shared.systems.contract import NotSearched, Pending, Receipt, Result


class Word(StrEnum):
    """What is said of a check."""

    YES = "yes"
    NO = "no"
    NOT_DECLARED = "not declared"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check; ``reason``: in words of ours, without anything of a person; ``seconds``: until gone."""

    word: Word
    reason: str = ""
    seconds: float | None = None

    def __str__(self) -> str:
        said = f"{self.word}: {self.reason}" if self.reason else str(self.word)
        return said if self.seconds is None else f"{said} (gone after {self.seconds:.1f} s)"


YES = Finding(Word.YES)
NOT_DECLARED = Finding(Word.NOT_DECLARED)


class Unmet(Exception):  # it ends a check with what was found
    """A check ends here, with this."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def no(reason: str) -> Unmet:
    """It is not so."""
    return Unmet(Finding(Word.NO, reason))


def unless(holds: object, reason: str) -> None:
    """Ends the check where something does not hold."""
    if not holds:
        raise no(reason)


def receipt_of(result: Result, *wanted: TaskOutcome) -> Receipt:
    """The receipt that a task was to end with.

    Raises:
        Unmet: it ended otherwise.
    """
    match result:
        case Receipt(outcome=outcome) if outcome in wanted:
            return result
        case Receipt(outcome=TaskOutcome.NOT_HELD):
            raise Unmet(Finding(Word.NOT_DECLARED, "it holds no such field or switch"))
        case Receipt(outcome=TaskOutcome.RETAINED):
            raise no(f"it keeps {result.remaining} rows: {result.ground}")
        case Receipt():
            raise no(f"it says {result.outcome}")
        case NotSearched():
            raise Unmet(Finding(Word.UNKNOWN, result.reason.sentence))
        case Pending():
            raise Unmet(Finding(Word.UNKNOWN, "it has not answered in time"))
        case _:
            raise Unmet(of_failure(result))


def of_failure(failure: DsrError) -> Finding:
    """What a failure says about the system."""
    match failure:
        case NotSupported():
            return Finding(Word.NOT_DECLARED, str(failure))
        case Unavailable():
            return Finding(Word.UNKNOWN, str(failure))
        case Refused():
            return Finding(Word.NO, f"{failure.code}: {failure}")
        case _:
            return Finding(Word.UNKNOWN, f"{failure.code}: {failure}")


Findings = Mapping[str, Finding]
"""By the name of the check."""


def status(systems: Iterable[Findings]) -> int:
    """0 only where nothing is ``no`` or ``unknown``, 1 for a ``no``, 2 where it could not be found out."""
    words = {finding.word for findings in systems for finding in findings.values()}
    return 1 if Word.NO in words else 2 if Word.UNKNOWN in words else 0


def lines_of(system: str, findings: Findings) -> Iterator[str]:
    """A table of one system."""
    yield system
    width = max(map(len, findings), default=0)
    for check, finding in findings.items():
        yield f"  {check:<{width}}  {finding}"


def as_json(findings: Findings) -> dict[str, dict[str, object]]:
    """The same for a program."""
    told = {
        check: {"word": each.word, "reason": each.reason, "seconds": each.seconds} for check, each in findings.items()
    }
    return {
        check: {key: value for key, value in each.items() if value not in (None, "")} for check, each in told.items()
    }
