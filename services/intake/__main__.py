"""Intake: the only entrance, and the only owner of a request's lifecycle."""

from functools import partial

from services.intake import assignments_changed, expiry, held, orphans, packages, postponed, releases, statistics
from services.intake.api import app
from services.intake.handlers import Handlers
from services.intake.letters import Letters
from services.intake.reasons import read_reasons
from services.intake.settings import IntakeSettings
from shared.app.service import Service
from shared.runtime.settings import PolicySettings

service = Service("intake")


def configure() -> None:
    """Reads letters and reasons, and says what is heard and done; raises ``Misconfigured``."""
    Handlers(Letters(), PolicySettings().read_time_limits(), read_reasons()).subscribe(service)
    settings = IntakeSettings()
    service.serves(partial(app.build, settings=settings))
    for loop in (statistics.run, held.run, postponed.run, expiry.run, assignments_changed.run):
        service.also(loop)
    for sweep in (orphans.run, packages.run, releases.run):
        service.also(partial(sweep, settings=settings))


if __name__ == "__main__":
    service.run(configure)
