"""Renders letters as intake asks for them, and queues those that go by e-mail."""

from collections.abc import Sequence

from jinja2 import TemplateError

from services.correspondence.rendering import Renderer
from shared.domain.events import NoticeRequested
from shared.domain.notices import NoticeFacts, NoticeText, opened, seal_text
from shared.messaging.dispatcher import Unreadable
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.loops import Wakeup
from shared.storage.vault import Sealing

# A letter that comes again is sent once more, under the same Message-ID.
_QUEUE = """
INSERT INTO notice (notice_id, request_id, "right", kind, threaded, written_at, state, next_try_at)
SELECT n.*, 'waiting', $7 FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bool[], $6::timestamptz[]) n
ON CONFLICT (notice_id) DO UPDATE SET state = 'waiting', next_try_at = $7, tries = 0, put_off_at = NULL,
    settled_at = NULL
WHERE notice.state <> 'waiting'
"""


class Handlers:
    """Handles what intake publishes; ``wakeup``: wakes the loop that sends."""

    def __init__(self, renderer: Renderer, wakeup: Wakeup) -> None:
        self._renderer = renderer
        self._wakeup = wakeup

    async def request(self, events: Sequence[NoticeRequested], tx: UnitOfWork) -> None:
        """Puts the text in the place of the facts, and queues what goes by e-mail; a letter has one text for ever."""
        sealed = await tx.vault.open_many(tx.connection, [event.notice_id for event in events])
        texts = []
        for event in {event.notice_id: event for event in events}.values():
            notice = opened(sealed[event.notice_id]) if event.notice_id in sealed else None
            if isinstance(notice, NoticeFacts):  # without its key nobody reads it any more
                content = seal_text(self._render(event, notice))
                texts.append(Sealing(event.request_id, "letter", event.kind, content, event.notice_id))
        await tx.vault.replace_many(tx.connection, texts)
        if mailed := [event for event in events if event.email]:
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
