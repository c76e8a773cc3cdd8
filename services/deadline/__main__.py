"""Deadline (Art. 12(3)): compute when a request is due, warn before and after, and bring in a person."""

from functools import partial

from services.deadline import company, handlers, statistics
from services.deadline.settings import DeadlineSettings
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
service.also(partial(statistics.count_again_and_again, zone=policy.commitment.controller_zone))

if __name__ == "__main__":
    service.run()
