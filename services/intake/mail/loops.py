"""What goes round for mail: letters go out, and the mailbox is read."""

from functools import partial

from services.intake.mail import reading
from services.intake.mail.proposal import mail_policy
from shared.app.service import Loop
from shared.runtime.mail_settings import ImapSettings, SmtpSettings


def loops() -> tuple[Loop]:
    """The loop that reads, by the settings of the environment; raises ``Misconfigured``."""
    mail_policy()  # a mistake in it is seen at the start, and not with each mail
    return (partial(reading.run, settings=ImapSettings(), smtp=SmtpSettings()),)
