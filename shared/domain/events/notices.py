"""Letters and mails between intake and correspondence, by id alone: what they say, and to whom, is in the vault."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, StringConstraints

from shared.domain.events.event import Event
from shared.domain.mail_content import MailKind
from shared.domain.text import Word
from shared.domain.topics import Topic

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
"""A digest in hex."""
DeliveryFault = Literal["refused", "put_off", "address_unknown", "address_unusable", "key_gone"]
"""Why the mail server, or we, cannot deliver a letter by e-mail."""


class NoticeRequested(Event, topic=Topic.NOTICES):
    """A letter is to be rendered, and sent by e-mail if ``by_mail`` says so; else it is printed, or read now.

    ``kind``: of the letter. ``threaded``: it joins the mails that the requester and we have exchanged. It comes again
    for a letter that is to be sent once more. A digest to a recipient tells of many requests: ``request_id`` is its own
    id, and ``right`` says nothing.
    """

    type: Literal["dsr.notice.requested.v1"] = "dsr.notice.requested.v1"
    notice_id: UUID
    kind: Word
    by_mail: bool
    threaded: bool


class NoticeSettled(Event, topic=Topic.DELIVERIES):
    """The mail server has accepted a letter, or it cannot be delivered by e-mail and a person must see to it.

    ``sha256``: of the letter as it was sent (HTML, UTF-8), in hex.
    """

    type: Literal["dsr.notice.settled.v1"] = "dsr.notice.settled.v1"
    notice_id: UUID
    state: Literal["sent", "failed"]
    fault: DeliveryFault | None = None
    sha256: Sha256 | None = None


class MailReceived(Event, topic=Topic.DELIVERIES):
    """A mail was read from the mailbox and sealed; it is about no request yet, and says no right.

    ``request_id``: the id of the mail. ``digest``: keyed, of what two copies of one mail have in common. ``letters``:
    those that it answers, or that it says have not arrived. ``by_our_exchanger``: ``received_at`` is what our own mail
    exchanger wrote; else it is the mailbox's.
    """

    type: Literal["dsr.mail.received.v1"] = "dsr.mail.received.v1"
    kind: MailKind
    digest: Sha256
    received_at: AwareDatetime
    by_our_exchanger: bool
    letters: tuple[UUID, ...]
