"""Gives the subject a copy of their data (Art. 15), or the portable part of it (Art. 20)."""

from functools import partial

from services.export import answered, handlers, package_builder
from shared.app.service import Service
from shared.domain import events
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.fulfilment import handlers as fulfilling

service = Service("export")

for right in (Right.ACCESS, Right.PORTABILITY):
    service.on(events.RequestVerified, partial(fulfilling.begin, Operation.EXPORT, service.fulfilments), right=right)
    service.on(events.RequestExtended, fulfilling.reschedule, right=right)
    service.on(events.RequestRedated, fulfilling.reschedule, right=right)
    service.on(events.RetryRequested, partial(handlers.retry, service.fulfilments), right=right)
    service.on(events.AnswerDecided, partial(handlers.answer, service.fulfilments), right=right)
    service.on(events.LimitConfirmed, partial(fulfilling.confirm, service.fulfilments), right=right)
    service.on(events.TaskRecorded, partial(fulfilling.record, service.fulfilments, service.conclusions), right=right)
    service.on(events.RequestWithdrawn, handlers.cancel, right=right)
    service.on(events.RequestClosed, handlers.close, right=right)
service.add_worker(Operation.EXPORT, concludes=partial(handlers.finish, service.fulfilments))
service.add_loops(partial(package_builder.run, service.fulfilments))

if __name__ == "__main__":
    service.run(answered.read_ahead)
