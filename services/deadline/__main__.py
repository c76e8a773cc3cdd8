"""Deadline (Art. 12(3)): compute when a request is due, warn before and after, and bring in a person."""

from functools import partial

from services.deadline import company, deferrals, handlers, silence, statistics, sweep
from services.deadline.settings import DeadlineSettings
from shared.app.service import Service
from shared.domain import events
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.time_limit_policy import read_policy

service = Service("deadline")


def configure() -> None:
    """Reads what the company has decided, and says what is heard and done; raises ``Misconfigured``."""
    settings = DeadlineSettings()
    policy = read_policy(settings.policy)
    service.on(events.RequestReceived, partial(handlers.start, policy=policy))
    service.on(events.RequestVerified, handlers.verified)
    service.on(events.QuestionSent, partial(handlers.asked, policy=policy))
    service.on(events.QuestionAnswered, partial(handlers.answered, policy=policy))
    service.on(events.RequestExtended, partial(handlers.extend, policy=policy))
    service.on(events.RequestRedated, partial(handlers.redate, policy=policy))
    service.on(events.RequestClosed, partial(handlers.stop, policy=policy))
    service.on(events.RequestReopened, partial(handlers.reopen, policy=policy))
    service.on(events.FulfilmentCompleted, handlers.collected)
    service.on(events.FulfilmentCompleted, partial(deferrals.hear, policy=policy), right=Right.ERASURE)
    service.on(events.FulfilmentBlocked, partial(deferrals.hear, policy=policy), right=Right.ERASURE)
    service.on(events.RetryDecided, deferrals.let_go, right=Right.ERASURE)
    service.works(Operation.ESCALATE, concludes=company.escalated)
    service.works(Operation.FLAG, concludes=company.flagged)
    service.also(partial(sweep.run_periodically, policy=policy, settings=settings))
    service.also(partial(silence.keep_telling, policy=policy, settings=settings))
    service.also(partial(deferrals.keep_releasing, policy=policy, settings=settings))
    service.also(partial(statistics.count_again_and_again, policy=policy))


if __name__ == "__main__":
    service.run(configure)
