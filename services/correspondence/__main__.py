"""Renders letters, sends them by e-mail, and reads the mailbox."""

from functools import partial

from services.correspondence import post
from services.correspondence.handlers import NoticeHandlers
from services.correspondence.mail import reading
from services.correspondence.mail.proposal import mail_policy
from services.correspondence.rendering import Renderer
from services.correspondence.settings import ImapSettings, SmtpSettings
from shared.app.service import Service
from shared.domain.events import NoticeRequested
from shared.runtime.loops import Wakeup
from shared.runtime.settings import PolicySettings

service = Service("correspondence")


def configure() -> None:
    """Reads the policy and the mail servers; raises ``Misconfigured``."""
    wakeup = Wakeup()
    service.on(NoticeRequested, NoticeHandlers(Renderer(PolicySettings().read_processing()), wakeup).request)
    mail_policy()  # a mistake in it is seen at the start, and not with each mail
    smtp = SmtpSettings()
    service.add_loops(partial(post.run, settings=smtp, wakeup=wakeup), post.forget)
    service.add_loops(partial(reading.run, settings=ImapSettings(), smtp=smtp))


if __name__ == "__main__":
    service.run(configure)
