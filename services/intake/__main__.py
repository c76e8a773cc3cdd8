"""Intake: the only entrance, and the only owner of a request's lifecycle."""

from functools import cache, partial

from services.intake import app
from services.intake.events import handlers, user_events
from services.intake.jobs import expiry, resuming
from services.intake.packages import downloads, releases
from services.intake.queries import figures
from services.intake.recipients import digests
from services.intake.settings import IntakeSettings
from services.intake.submission.accepting import Submissions
from shared.app.service import Service

service = Service("intake")


def configure() -> None:
    """Reads letters, reasons and emitters, and registers handlers and loops; raises ``Misconfigured``."""
    settings = IntakeSettings()
    submissions, emitters = cache(partial(Submissions.of, settings=settings)), settings.read_emitters()
    handlers.EventHandlers.configured().subscribe(service)
    service.serve(partial(app.build, settings=settings, submissions_of=submissions, emitters=emitters))
    user_events.subscribe_emitters(service, emitters, submissions)
    service.add_loops(*(each.run for each in (figures, resuming, digests)))
    service.add_loops(*(partial(each.run, settings=settings) for each in (downloads, expiry, releases)))


if __name__ == "__main__":
    service.run(configure)
