"""Erases the subject in every system (Art. 17), then destroys their key; runs retention each night."""

from functools import partial

from services.erasure import handlers, planning, precedence
from services.erasure.retention import exemptions, run
from shared.app.service import Service
from shared.domain import events
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.fulfilment import handlers as fulfilling

service = Service("erasure")
service.on(events.RequestVerified, partial(fulfilling.begin, Operation.ERASE, service.fulfilments), right=Right.ERASURE)
service.on(events.RequestExtended, fulfilling.reschedule, right=Right.ERASURE)
service.on(events.RequestRedated, fulfilling.reschedule, right=Right.ERASURE)
service.on(events.RetryRequested, partial(fulfilling.retry, service.fulfilments), right=Right.ERASURE)
service.on(events.AnswerDecided, partial(handlers.answer, service.fulfilments), right=Right.ERASURE)
service.on(events.LimitConfirmed, partial(fulfilling.confirm, service.fulfilments), right=Right.ERASURE)
record = partial(fulfilling.record, service.fulfilments, service.conclusions)
service.on(events.TaskRecorded, record, right=Right.ERASURE)
service.on(events.RequestWithdrawn, fulfilling.cancel, right=Right.ERASURE)
service.on(events.RequestClosed, handlers.shred_key, right=Right.ERASURE)
service.add_worker(Operation.ERASE, concludes=handlers.finish)
for each in (handlers, precedence, planning, exemptions):
    each.join(service)
service.add_loops(run.run)  # the nightly retention run

if __name__ == "__main__":
    service.run()
