"""Keeps the clock of each request (Art. 12(3)), reminds and escalates; syncs the number register from its source."""

from functools import partial

from services.deadline import assignments, notifications, statistics, timers
from services.deadline.handlers import Deadlines
from services.deadline.settings import DeadlineSettings
from shared.app.service import Service
from shared.domain.clock import SystemClock
from shared.domain.operations import Operation
from shared.domain.working_days import calendar
from shared.runtime.settings import PolicySettings

service = Service("deadline")


def configure() -> None:
    """Reads the policy and adds the handlers and loops; raises ``Misconfigured``."""
    policy, settings = PolicySettings().read_time_limits(), DeadlineSettings()
    calendar(policy.commitment.staff_calendar).is_working_day(SystemClock().now().date())  # before a request waits
    Deadlines(policy, service.fulfilments).subscribe(service)  # every event that moves a clock
    for operation in (Operation.ESCALATE, Operation.FLAG):
        service.add_worker(operation, concludes=partial(notifications.record, service.fulfilments))
    poll = partial(timers.run, policy=policy, settings=settings, fulfilments=service.fulfilments)
    service.add_loops(poll, partial(statistics.run, policy=policy))  # the timers, the SLA metrics
    service.add_loops(partial(assignments.run, settings=settings))  # the number register


if __name__ == "__main__":
    service.run(configure)
