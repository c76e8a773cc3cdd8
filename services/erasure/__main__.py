"""Erasure (Art. 17): remove the subject from every downstream, then shred their key."""

from services.erasure import handlers
from shared.bus.topics import Topic
from shared.downstreams.contract import Operation
from shared.events import RequestClosed, RequestVerified, RequestWithdrawn, RetentionEnded, RetryDecided
from shared.rights import Right
from shared.service import Service

service = Service("erasure", reads=[Topic.REQUESTS, Topic.DEADLINES], writes=Topic.COMPLETIONS)

service.on(RequestVerified, handlers.begin, right=Right.ERASURE)
service.on(RetryDecided, handlers.retry, right=Right.ERASURE)
service.on(RequestWithdrawn, handlers.cancel, right=Right.ERASURE)
service.on(RetentionEnded, handlers.release, right=Right.ERASURE)
service.on(RequestClosed, handlers.shred_key, right=Right.ERASURE)
service.works(Operation.ERASE, concludes=handlers.finish)

if __name__ == "__main__":
    service.run()
