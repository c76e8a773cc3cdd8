"""Letters between intake and correspondence, by id alone: what a letter says, and to whom, is in the vault."""

from typing import Literal
from uuid import UUID

from shared.domain.events.event import Event
from shared.domain.text import Word
from shared.domain.topics import Topic

DeliveryFault = Literal["refused", "put_off", "address_unknown", "address_unusable", "key_gone"]
"""Why the mail server, or we, cannot deliver a letter by e-mail."""


class NoticeRequested(Event, topic=Topic.NOTICES):
    """A letter is to be rendered, and sent by e-mail if ``email`` says so; else it is printed, or read where it is.

    ``kind``: of the letter. ``threaded``: it joins the mails that the requester and we have exchanged. It comes again
    for a letter that is to be sent once more. A digest to a recipient tells of many requests: ``request_id`` is its own
    id, and ``right`` says nothing.
    """

    type: Literal["dsr.notice.requested.v1"] = "dsr.notice.requested.v1"
    notice_id: UUID
    kind: Word
    email: bool
    threaded: bool


class NoticeSettled(Event, topic=Topic.DELIVERIES):
    """The mail server has accepted a letter, or it cannot be delivered by e-mail and a person must see to it.

    ``sha256``: of the letter as it was sent (HTML, UTF-8), in hex.
    """

    type: Literal["dsr.notice.settled.v1"] = "dsr.notice.settled.v1"
    notice_id: UUID
    state: Literal["sent", "failed"]
    fault: DeliveryFault | None = None
    sha256: str | None = None
