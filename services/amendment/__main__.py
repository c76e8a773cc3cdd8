"""Corrects (Art. 16), restricts and lifts (18), stops marketing and what consent was withdrawn to (21, 7(3))."""

from functools import partial

from services.amendment import handlers, reconciliation, reimported_contacts
from shared.app.service import Service
from shared.domain import events
from shared.domain.operations import Operation
from shared.fulfilment import handlers as fulfilling

service = Service("amendment")
for right in handlers.VERBS:
    service.on(events.RequestVerified, partial(handlers.begin, service.fulfilments), right=right)
    service.on(events.RequestExtended, fulfilling.reschedule, right=right)
    service.on(events.RequestRedated, fulfilling.reschedule, right=right)
    service.on(events.RetryRequested, partial(fulfilling.retry, service.fulfilments), right=right)
    service.on(events.AnswerDecided, handlers.answer, right=right)
    service.on(events.LimitConfirmed, partial(fulfilling.confirm, service.fulfilments), right=right)
    service.on(events.TaskRecorded, partial(fulfilling.record, service.fulfilments, service.conclusions), right=right)
    service.on(events.RequestWithdrawn, fulfilling.cancel, right=right)
    service.on(events.LiftDecided, partial(handlers.lift, service.fulfilments), right=right)
for operation in (Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS):
    service.add_worker(operation, concludes=partial(handlers.finish, service.fulfilments))
for each in (reconciliation, reimported_contacts):  # each night
    service.add_loops(partial(each.run, fulfilments=service.fulfilments))
service.add_loops(reconciliation.forget)

if __name__ == "__main__":
    service.run()
