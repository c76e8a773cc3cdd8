"""Amendment: correct (Art. 16), restrict and lift (Art. 18), stop marketing (Art. 21), in place and reversibly."""

from services.amendment import handlers
from shared import events, fulfilling
from shared.bus.topics import Topic
from shared.downstreams.contract import Operation
from shared.rights import Right
from shared.service import Service

service = Service("amendment", reads=[Topic.REQUESTS], writes=Topic.COMPLETIONS)

for right in (Right.RECTIFICATION, Right.RESTRICTION, Right.OBJECTION):
    service.on(events.RequestVerified, handlers.begin, right=right)
    service.on(events.RequestExtended, fulfilling.reschedule, right=right)
    service.on(events.RequestRedated, fulfilling.reschedule, right=right)
    service.on(events.RetryDecided, fulfilling.retry, right=right)
    service.on(events.RequestWithdrawn, fulfilling.cancel, right=right)
service.on(events.LiftDecided, handlers.lift, right=Right.RESTRICTION)
for operation in (Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS):
    service.works(operation, concludes=handlers.finish)

if __name__ == "__main__":
    service.run()
