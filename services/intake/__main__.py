"""Intake: the only door, and the only owner of a request's lifecycle."""

from services.intake import api, handlers, statistics
from shared.bus.topics import Topic
from shared.events import DeadlineApproaching, DeadlineOverdue, FulfilmentBlocked, FulfilmentCompleted, TargetMissed
from shared.service import Service

service = Service("intake", reads=[Topic.COMPLETIONS, Topic.DEADLINES], writes=Topic.REQUESTS)

service.on(FulfilmentCompleted, handlers.complete)
service.on(FulfilmentBlocked, handlers.ask_a_person)
service.on(DeadlineApproaching, handlers.warn)
service.on(DeadlineOverdue, handlers.warn)
service.on(TargetMissed, handlers.warn_of_target)
service.serves(api.serve)
service.also(statistics.count_again_and_again)

if __name__ == "__main__":
    service.run()
