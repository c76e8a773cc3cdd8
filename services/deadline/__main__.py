"""Deadline (Art. 12(3)): compute when a request is due, warn before and after, and bring in a person."""

from functools import partial

from services.deadline import company, handlers
from services.deadline.settings import DeadlineSettings
from services.deadline.statistics import Statistics
from services.deadline.sweep import Sweep
from shared.bus.topics import Topic
from shared.downstreams.contract import Operation
from shared.events import (
    QuestionAnswered,
    QuestionSent,
    RequestClosed,
    RequestExtended,
    RequestReceived,
    RequestVerified,
)
from shared.service import Running, Service
from shared.time_limit_policy import read_policy

settings = DeadlineSettings()
policy = read_policy(settings.policy)


async def sweep(running: Running) -> None:
    """Look at the clocks for as long as the service runs."""
    await Sweep(running.transactions, policy, settings).run(running.stopping, running.pulse)


async def statistics(running: Running) -> None:
    """Count what the clocks say for as long as the service runs."""
    await Statistics(running, policy.commitment.controller_zone).run()


service = Service("deadline", reads=[Topic.REQUESTS], writes=Topic.DEADLINES)
service.on(RequestReceived, partial(handlers.start, policy=policy))
service.on(RequestVerified, company.flag)
service.on(QuestionSent, partial(handlers.asked, policy=policy))
service.on(QuestionAnswered, partial(handlers.answered, policy=policy))
service.on(RequestExtended, partial(handlers.extend, policy=policy))
service.on(RequestClosed, partial(handlers.stop, policy=policy))
service.works(Operation.ESCALATE, concludes=company.escalated)
service.works(Operation.FLAG, concludes=company.flagged)
service.also(sweep)
service.also(statistics)

if __name__ == "__main__":
    service.run()
