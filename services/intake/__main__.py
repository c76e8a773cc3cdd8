"""Intake: the only door, and the only owner of a request's lifecycle."""

from functools import partial

from services.intake import handlers, silence, statistics
from services.intake.api import app
from services.intake.letters import Letters
from shared.app.service import Service
from shared.domain.events import (
    DeadlineApproaching,
    DeadlineOverdue,
    FulfilmentBlocked,
    FulfilmentCompleted,
    QuestionUnanswered,
    TargetMissed,
)

service = Service("intake")


def configure() -> None:
    """Reads the letters, and says what is heard and done; raises ``Misconfigured``."""
    letters = Letters()
    service.on(FulfilmentCompleted, handlers.complete)
    service.on(FulfilmentBlocked, partial(handlers.blocked, letters=letters))
    service.on(DeadlineApproaching, handlers.warn)
    service.on(DeadlineOverdue, handlers.warn)
    service.on(QuestionUnanswered, partial(silence.unanswered, letters=letters))
    service.on(TargetMissed, handlers.warn_of_target)
    service.on(TargetMissed, partial(silence.ask_at_last, letters=letters))
    service.on(DeadlineApproaching, partial(silence.ask_at_last, letters=letters))
    service.on(DeadlineOverdue, partial(silence.ask_at_last, letters=letters))
    service.serves(app.build)
    service.also(statistics.count_again_and_again)


if __name__ == "__main__":
    service.run(configure)
