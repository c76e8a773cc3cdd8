"""From one page of records to the next; where pages end is judged by the page as it came."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from shared.domain.errors import AnswerMalformed
from shared.systems.engine.records import ABSENT
from shared.systems.engine.stepwise import Later
from shared.systems.http.paths import Answer, at
from shared.systems.http.requests import Listing, Pages
from shared.systems.http.session import PATIENCE, Further, Session
from shared.systems.http.templates import Values

Following = tuple[dict[str, Any], str | None]
"""The query fields of the next page, and the link to it where the system gives one."""


Page = Sequence[Mapping[str, Any]]
"""The records of one page, as they come."""
MOST: Final = 10_000
"""Pages of one search; with more it has no end."""
_PATIENT = timedelta(minutes=15)
"""How long at most a page is waited for by whoever has time."""


async def pages_of(
    system: str, session: Session, listing: Listing, values: Values, *, patient: bool = False
) -> AsyncIterator[Page]:
    """Every page. ``patient``: a system that wants to be left alone is waited for, with a page of nothing now and then.

    Raises:
        AnswerMalformed: pages come again, have no end, or records are none.
        Later: the system is to be asked again after a time.
    """
    pages, before, waited = listing.pages, set[str](), timedelta()
    asked, link = first_page(pages), None
    while True:
        further = Further(body=asked) if pages and pages.of_body else Further(asked, link=link)
        try:
            answer = await session.read(listing, values, further)
        except Later as busy:
            if not patient or waited >= _PATIENT:
                raise
            waited += (pause := min(busy.after, PATIENCE))
            await asyncio.sleep(pause.total_seconds())  # the rate is the system's
            yield []
            continue
        if answer is None:
            return
        waited = timedelta()
        records = _records(system, listing, answer.said)
        yield records
        following = pages and next_page(system, pages, answer, [at(each, listing.id) for each in records], asked)
        if not following or not pages:
            return
        asked, link = following
        if (token := link or str(sorted(asked.items()))) in before:
            raise AnswerMalformed(f"{system} leads to a page again that it has led to before")
        before.add(token)
        if len(before) >= MOST:
            raise AnswerMalformed(f"{system} has more than {MOST:,} pages of what was asked for")


def _records(system: str, listing: Listing, said: object) -> Page:
    listed = said if listing.records is None else at(said, listing.records)
    if isinstance(listed, Mapping):
        listed = [listed]
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        where = listing.records or "its answer"
        raise AnswerMalformed(f"{system} has no records at {where} of {listing.method} {listing.path}")
    return listed


def first_page(pages: Pages | None) -> dict[str, Any]:
    """The query fields by which the first page is asked for."""
    return {str(pages.parameter): 1} if pages and pages.kind == "page" else {}


def next_page(
    system: str, pages: Pages, answer: Answer, records: Sequence[object], asked: Mapping[str, Any]
) -> Following | None:
    """How the page after this one is asked for, which had the records of these ids; None where this is the last.

    Raises:
        AnswerMalformed: whether there is another page cannot be told, or this one is longer than pages are.
    """
    if len(records) > pages.size:
        raise AnswerMalformed(f"{system} gives pages of more than size = {pages.size} records: what size do they have?")
    goes_on = None if pages.more is None else at(answer.said, pages.more)
    if goes_on is False:
        return None
    if pages.next is None:
        ended = not records or (goes_on is None and pages.end == "short" and len(records) < pages.size)
        name = str(pages.parameter)
        return None if ended else ({**asked, name: asked[name] + 1 if pages.kind == "page" else records[-1]}, None)
    where = at(answer.said, pages.next)
    if where is ABSENT and len(records) >= pages.size and goes_on is None:
        raise AnswerMalformed(f"{system} gives a full page without {pages.next}: is it the last?")
    if where is ABSENT or where is None or where == "":
        return None
    if isinstance(where, bool) or not isinstance(where, str | int):
        raise AnswerMalformed(f"{system} says at {pages.next} how to go on, in no way that can be read")
    return (dict(asked), str(where)) if pages.kind == "link" else ({**asked, str(pages.parameter): where}, None)
