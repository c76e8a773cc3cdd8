"""Correspondence: renders letters and sends them by e-mail."""

from functools import partial

from services.correspondence import post
from services.correspondence.handlers import Handlers
from services.correspondence.rendering import Renderer
from shared.app.service import Service
from shared.domain.events import NoticeRequested
from shared.runtime.loops import Wakeup
from shared.runtime.mail_settings import SmtpSettings
from shared.runtime.settings import PolicySettings

service = Service("correspondence")


def configure() -> None:
    """Reads the policy and the mail servers; raises ``Misconfigured``."""
    wakeup = Wakeup()
    service.on(NoticeRequested, Handlers(Renderer(PolicySettings().read_processing()), wakeup).request)
    service.also(partial(post.run, settings=SmtpSettings(), wakeup=wakeup), post.forget)


if __name__ == "__main__":
    service.run(configure)
