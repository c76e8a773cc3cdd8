"""Deadline (Art. 12(3)): compute when a request is due, warn before and after, and bring in a person."""

from functools import partial

from services.deadline import company, handlers, statistics, sweep
from services.deadline.settings import DeadlineSettings
from shared import events
from shared.bus.topics import Topic
from shared.downstreams.contract import Operation
from shared.service import Service
from shared.time_limit_policy import read_policy

settings = DeadlineSettings()
policy = read_policy(settings.policy)

service = Service("deadline", reads=[Topic.REQUESTS, Topic.COMPLETIONS], writes=Topic.DEADLINES)
service.on(events.RequestReceived, partial(handlers.start, policy=policy))
service.on(events.RequestVerified, company.flag)
service.on(events.QuestionSent, partial(handlers.asked, policy=policy))
service.on(events.QuestionAnswered, partial(handlers.answered, policy=policy))
service.on(events.RequestExtended, partial(handlers.extend, policy=policy))
service.on(events.RequestClosed, partial(handlers.stop, policy=policy))
service.works(Operation.ESCALATE, concludes=company.escalated)
service.works(Operation.FLAG, concludes=company.flagged)
service.also(partial(sweep.keep_looking, policy=policy, settings=settings))
service.also(partial(statistics.count_again_and_again, policy=policy))

if __name__ == "__main__":
    service.run()
