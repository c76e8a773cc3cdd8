"""Intake: the only door, and the only owner of a request's lifecycle."""

from services.intake import statistics
from services.intake.api import app
from services.intake.handlers import Handlers
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
    handlers = Handlers(Letters())
    service.on(FulfilmentCompleted, handlers.complete)
    service.on(FulfilmentBlocked, handlers.block)
    service.on(QuestionUnanswered, handlers.unanswered)
    for milestone in (DeadlineApproaching, DeadlineOverdue, TargetMissed):
        service.on(milestone, handlers.warn)
    service.serves(app.build)
    service.also(statistics.run)


if __name__ == "__main__":
    service.run(configure)
