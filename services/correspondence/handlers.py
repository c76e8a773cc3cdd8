"""Renders letters as intake asks for them, and queues those that go by e-mail."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import orjson
from jinja2 import TemplateError

from services.correspondence.rendering import Renderer
from shared.domain.events import NoticeRequested
from shared.domain.notices import NoticeFacts, NoticeText, opened, seal_text
from shared.messaging.dispatcher import Unreadable
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.loops import Wakeup

# A letter that comes again is sent once more, under the same Message-ID.
_QUEUE = """
INSERT INTO notice (notice_id, request_id, "right", kind, threaded, written_at, state, next_try_at)
SELECT n.*, 'waiting', $7 FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bool[], $6::timestamptz[]) n
ON CONFLICT (notice_id) DO UPDATE SET state = 'waiting', next_try_at = $7, tries = 0, put_off_at = NULL,
    settled_at = NULL
WHERE notice.state <> 'waiting'
"""


class NoticeHandlers:
    """Handles what intake publishes; ``wakeup``: wakes the loop that sends."""

    def __init__(self, renderer: Renderer, wakeup: Wakeup) -> None:
        self._renderer = renderer
        self._wakeup = wakeup

    async def request(self, events: Sequence[NoticeRequested], tx: UnitOfWork) -> None:
        """Puts the text in the place of the facts, and queues what goes by e-mail; a letter has one text for ever."""
        asked = {event.notice_id: event for event in events}

        def text(notice_id: UUID, content: bytes, statement: bytes) -> bytes | None:
            notice = opened(content)
            if not isinstance(notice, NoticeFacts):
                return None
            return seal_text(self._render(asked[notice_id], _named(notice, statement)))

        await tx.vault.rewrite(tx.connection, asked, text)
        if mailed := [event for event in events if event.by_mail]:
            rows = [(e.notice_id, e.request_id, e.right, e.kind, e.threaded, e.occurred_at) for e in mailed]
            await tx.connection.execute(_QUEUE, *map(list, zip(*rows, strict=True)), tx.now)
            tx.after_commit(self._wakeup.wake)

    def _render(self, event: NoticeRequested, notice: NoticeFacts) -> NoticeText:
        try:
            return self._renderer.render(notice)
        except (KeyError, TemplateError, TypeError, ValueError) as error:
            raise Unreadable(
                f"{event.kind} cannot be rendered: {type(error).__name__}: an engineer must look"
            ) from None


def _named(notice: NoticeFacts, statement: bytes) -> NoticeFacts:
    """Adds the name of the reader, off the statement of their correspondence, where they have shown who they are."""
    name = orjson.loads(statement).get("name", "") if "greeted" in notice.fields else ""
    return replace(notice, fields={**notice.fields, "name": name})
