"""Deadline (Art. 12(3)): keep the clock of each request, warn before and after it is due, and bring in a person."""

from services.deadline import notifications, statistics, sweep
from services.deadline.handlers import Deadlines
from services.deadline.settings import DeadlineSettings
from shared.app.service import Running, Service
from shared.domain import events
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.topics import Topic
from shared.runtime.settings import PolicySettings

service = Service("deadline", reads=[Topic.REQUESTS, Topic.COMPLETIONS], writes=Topic.DEADLINES)


def configure() -> None:
    """Reads what the company has decided, and says what is heard and done; raises ``Misconfigured``."""
    policy = PolicySettings().read_time_limits()
    deadlines = Deadlines(policy)
    service.on(events.RequestReceived, deadlines.received)
    service.on(events.RequestVerified, deadlines.verified)
    service.on(events.QuestionSent, deadlines.asked)
    service.on(events.QuestionAnswered, deadlines.answered)
    service.on(events.RequestExtended, deadlines.extended)
    service.on(events.RequestRedated, deadlines.redated)
    service.on(events.RequestClosed, deadlines.closed)
    service.on(events.RequestReopened, deadlines.reopened)
    service.on(events.FulfilmentCompleted, deadlines.fulfilled)
    service.on(events.FulfilmentBlocked, deadlines.blocked, right=Right.ERASURE)
    service.on(events.RetryDecided, deadlines.retried, right=Right.ERASURE)
    service.works(Operation.ESCALATE, concludes=notifications.escalated)
    service.works(Operation.FLAG, concludes=notifications.flagged)
    service.also(sweep.loop(policy, DeadlineSettings()))
    service.also(statistics.loop(policy))


if __name__ == "__main__":
    service.run(configure)
