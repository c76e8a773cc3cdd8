"""What goes round for mail: letters go out, and the mailbox is read."""

from functools import partial

from services.intake.mail import reading, sending
from services.intake.mail.settings import ImapSettings, SmtpSettings
from shared.app.service import Loop


def loops() -> tuple[Loop, Loop]:
    """Both, by the settings of the environment; raises ``Misconfigured``."""
    smtp = SmtpSettings()
    return partial(sending.run, settings=smtp), partial(reading.run, settings=ImapSettings(), smtp=smtp)
