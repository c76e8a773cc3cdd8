"""What goes round for mail: letters go out, and the mailbox is read."""

from functools import partial

from services.intake.mail import reading
from shared.app.service import Loop
from shared.runtime.mail_settings import ImapSettings, SmtpSettings


def loops() -> tuple[Loop]:
    """The loop that reads, by the settings of the environment; raises ``Misconfigured``."""
    return (partial(reading.run, settings=ImapSettings(), smtp=SmtpSettings()),)
