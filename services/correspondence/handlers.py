"""Renders letters as intake asks for them, and queues those that go by e-mail."""

from collections.abc import Mapping, Sequence
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
        found = {event.notice_id: opened(sealed[event.notice_id]) for event in events if event.notice_id in sealed}
        facts = {notice_id: notice for notice_id, notice in found.items() if isinstance(notice, NoticeFacts)}
        names = await _names(tx, [e.request_id for e in events if e.notice_id in facts and _greets(facts[e.notice_id])])
        texts = []
        for event in {event.notice_id: event for event in events}.values():
            if notice := facts.get(event.notice_id):  # without its key nobody reads it any more
                content = seal_text(self._render(event, _named(notice, names.get(event.request_id, ""))))
                texts.append(Sealing(event.request_id, "letter", event.kind, content, event.notice_id))
        await tx.vault.replace_many(tx.connection, texts)
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


def _greets(notice: NoticeFacts) -> bool:
    """Tells whether a letter greets its reader by name: they have shown who they are."""
    return "greeted" in notice.fields


def _named(notice: NoticeFacts, name: str) -> NoticeFacts:
    return replace(notice, fields={**notice.fields, "name": name if _greets(notice) else ""})


async def _names(tx: UnitOfWork, requests: Sequence[UUID]) -> Mapping[UUID, str]:
    """Reads the names that requesters have given, off the statements of their correspondence."""
    found = await tx.vault.statements(tx.connection, requests) if requests else {}
    return {request_id: orjson.loads(statement).get("name", "") for request_id, statement in found.items()}
