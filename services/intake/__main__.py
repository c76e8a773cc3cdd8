"""Intake: the only entrance, and the only owner of a request's lifecycle."""

from functools import cache, partial

from services.intake import assignments_changed, expiry, held, orphans, packages, postponed, releases, statistics
from services.intake.api import app
from services.intake.events import listener
from services.intake.handlers import Handlers
from services.intake.letters import Letters
from services.intake.settings import IntakeSettings
from services.intake.submission import Submissions
from shared.app.service import Service
from shared.runtime.settings import PolicySettings

service = Service("intake")


def configure() -> None:
    """Reads letters, reasons and emitters, and says what is heard and done; raises ``Misconfigured``."""
    Handlers(Letters(), PolicySettings().read_time_limits()).subscribe(service)
    settings = IntakeSettings()
    submissions = cache(partial(Submissions.of, settings=settings))
    service.serves(partial(app.build, settings=settings, submissions_of=submissions))
    for name, emitter in settings.read_emitters().items():
        service.hears(partial(listener.hear, name=name, emitter=emitter, submissions=submissions))
    for loop in (statistics.run, held.run, postponed.run, expiry.run, assignments_changed.run):
        service.also(loop)
    for sweep in (orphans.run, packages.run, releases.run):
        service.also(partial(sweep, settings=settings))


if __name__ == "__main__":
    service.run(configure)
