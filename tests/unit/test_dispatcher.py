"""Grouping what was heard: few calls, and the events of one request never out of order."""

from collections.abc import Sequence
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.events import Event, RequestWithdrawn
from shared.domain.records import Message
from shared.domain.rights import Right
from shared.messaging.dispatcher import Handler, Subscription, _Parsed, _runs, _wanted
from shared.messaging.unit_of_work import UnitOfWork
from tests.fixtures.events import a


def handler() -> Handler:
    async def handle(_events: Sequence[Event], _tx: UnitOfWork) -> None:
        """Does nothing: only who is called matters here."""

    return handle


HANDLERS = [(handler(),) for _ in range(4)]


def parsed(request: int, which: int) -> _Parsed:
    event = a(RequestWithdrawn, about=UUID(int=request), right=Right.ERASURE, subject=UUID(int=request))
    return _Parsed(Message("dsr.requests", b"", b"", {}), event, HANDLERS[which])


batches = st.lists(st.builds(parsed, st.integers(0, 5), st.integers(0, 3)), max_size=60)


@given(batches)
def test_every_event_is_handed_to_its_handler_once(batch: list[_Parsed]) -> None:
    handed = [(handler, event.event_id) for handler, events in _runs(batch) for event in events]
    assert sorted(handed, key=lambda each: each[1]) == sorted(
        [(p.handlers, p.event.event_id) for p in batch], key=lambda each: each[1]
    )


@given(batches)
def test_events_of_one_request_are_handed_over_in_the_order_heard(batch: list[_Parsed]) -> None:
    handed = [event for _, events in _runs(batch) for event in events]
    for request in {p.event.request_id for p in batch}:
        assert [e for e in handed if e.request_id == request] == [
            p.event for p in batch if p.event.request_id == request
        ]


@given(st.lists(st.integers(0, 3), max_size=60))
def test_events_of_as_many_requests_are_one_call_per_handler(which: list[int]) -> None:
    runs = _runs([parsed(100 + number, handler) for number, handler in enumerate(which)])
    assert len(runs) == len(set(which))


def test_a_burst_of_requests_that_begin_and_end_together_is_two_calls() -> None:
    batch = [parsed(request, which) for request in range(50) for which in (0, 1)]
    assert [(handler, len(events)) for handler, events in _runs(batch)] == [(HANDLERS[0], 50), (HANDLERS[1], 50)]


def test_where_several_handlers_wait_for_an_event_all_of_them_hear_it_in_the_order_of_the_main() -> None:
    first, second = handler(), handler()
    subscriptions = [
        Subscription(RequestWithdrawn, first, None),
        Subscription(RequestWithdrawn, second, Right.ERASURE),
    ]
    wanted = _wanted({"withdrawn": subscriptions})
    assert wanted[b"withdrawn", b"erasure"] == (RequestWithdrawn, (first, second))
    assert wanted[b"withdrawn", b"access"] == (RequestWithdrawn, (first,))
