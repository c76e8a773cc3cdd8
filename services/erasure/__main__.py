"""Erasure (Art. 17): remove the subject from every downstream, then shred their key."""

from functools import partial

from services.erasure import handlers, planning, precedence
from services.erasure.sweeping import sparing, sweep
from shared.app.service import Service
from shared.domain import events
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.fulfilment import by_hand
from shared.fulfilment import handlers as fulfilling

service = Service("erasure")
service.fulfilments.postpone = precedence.postponed
service.on(events.RequestVerified, partial(fulfilling.begin, Operation.ERASE, service.fulfilments), right=Right.ERASURE)
for changed in (events.RequestExtended, events.RequestRedated):
    service.on(changed, fulfilling.reschedule, right=Right.ERASURE)
for heard, handle in (
    *(
        (events.RequestHeld, fulfilling.hold),
        (events.RetryDecided, fulfilling.retry),
        (events.PlanAsked, planning.plan),
    ),
    *((events.AnswerDecided, handlers.answer), (events.LimitConfirmed, fulfilling.confirm)),
    *((events.RetentionEnded, handlers.release), (events.HoldLifted, handlers.release)),
):
    service.on(heard, partial(handle, service.fulfilments), right=Right.ERASURE)
service.on(events.TaskRecorded, partial(by_hand.record, service.fulfilments, service.conclusions), right=Right.ERASURE)
service.on(events.RequestWithdrawn, fulfilling.cancel, right=Right.ERASURE)
service.on(events.RequestClosed, handlers.shred_key, right=Right.ERASURE)
sparing.hear(service)
service.works(Operation.ERASE, concludes=handlers.finish)
service.works(Operation.PLAN, concludes=partial(planning.planned, service.fulfilments))
service.also(sweep.run)

if __name__ == "__main__":
    service.run()
