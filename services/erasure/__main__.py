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
service.on(events.RetryDecided, partial(fulfilling.retry, service.fulfilments), right=Right.ERASURE)
service.on(events.AnswerDecided, partial(handlers.answer, service.fulfilments), right=Right.ERASURE)
service.on(events.LimitConfirmed, partial(fulfilling.confirm, service.fulfilments), right=Right.ERASURE)
service.on(
    events.TaskRecorded, partial(fulfilling.record, service.fulfilments, service.conclusions), right=Right.ERASURE
)
service.on(events.RequestWithdrawn, fulfilling.cancel, right=Right.ERASURE)
service.on(events.RequestClosed, handlers.shred_key, right=Right.ERASURE)
service.works(Operation.ERASE, concludes=handlers.finish)
for ended in (events.TimerFired, events.HoldLifted):
    service.on(ended, partial(handlers.release, service.fulfilments), right=Right.ERASURE)
precedence.join(service)  # waits for a copy or a restriction of the same person
planning.join(service)  # previews: what an erasure would do
exemptions.join(service)
service.also(run.run)  # the nightly retention run

if __name__ == "__main__":
    service.run()
