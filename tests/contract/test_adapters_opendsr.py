"""What only a third party reached by OpenDSR can do to us, and what only such a one can give."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider

from shared.domain.errors import (
    BlastRadius,
    ForeignHit,
    Refused,
    ResidueFound,
    SignInRefused,
    Unavailable,
)
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome
from shared.domain.release import Match
from shared.downstreams.contract import Pending, Receipt, Record, Result
from shared.downstreams.opendsr.wire import subject_request_id
from tests.contract.adapter_stands import Engine, OpenDsrStand, erasure_of, opendsr_stand
from tests.fakes.opendsr_responder import DsrRequest, MailingSystem, Row, Taken
from tests.fixtures.engine import SetClock

ADA = "ada@example.com"


def stand_of(system: MailingSystem, rows: int = 2, **settings: object) -> OpenDsrStand:
    stand = opendsr_stand(system, settings)
    stand.put(ADA, rows)
    return stand


def answering(handler: Callable[[httpx.Request], httpx.Response], **settings: object) -> OpenDsrStand:
    return opendsr_stand(MailingSystem([], SetClock()), settings, transport=httpx.MockTransport(handler))


async def copied(stand: OpenDsrStand, email: str = ADA) -> Result:
    """What an access request of theirs comes to."""
    task = replace(erasure_of(stand, email), operation=Operation.EXPORT)
    [result] = await stand.adapter.export([task], Engine(stand).save_progress)
    return result


class Liar(MailingSystem):
    """Says completed, and keeps everything."""

    def erase(self, found: list[Row]) -> None:
        """Do nothing."""


class Counting(MailingSystem):
    """Counts how often requests are handed in, repeats included."""

    handed_in = 0

    def take(self, request: DsrRequest) -> Taken:
        """Count, and take."""
        self.handed_in += 1
        return super().take(request)


async def test_a_request_that_is_not_completed_is_asked_about_later_and_not_sent_again() -> None:
    system = Counting([], SetClock(), at_once=False)
    stand = stand_of(system, poll_s=90)
    engine, task = Engine(stand), erasure_of(stand, ADA)
    for requests in (1, 2, 3):
        for _ in range(2):
            assert await engine.once([task]) == [Pending(task.task_id, timedelta(seconds=90))]
            assert system.handed_in == len(system.taken) == requests
        system.work()
    assert await engine.once([task]) == [Receipt(task.task_id, TaskOutcome.ERASED, found=2, changed=2)]


async def test_completed_is_not_believed_before_nothing_is_found_and_a_retry_reports_what_was_there_at_first() -> None:
    liar = Liar([], SetClock())
    stand = stand_of(liar)
    engine, task = Engine(stand), erasure_of(stand, ADA)
    [result] = await engine.erase([task])
    assert isinstance(result, ResidueFound)
    liar.rows = []
    assert await engine.erase([task]) == [Receipt(task.task_id, TaskOutcome.ERASED, found=2, changed=2)]


async def test_more_results_than_one_request_may_touch_are_not_erased_and_stop_that_request_alone() -> None:
    stand = stand_of(MailingSystem([], SetClock()), 3, max_rows=2)
    stand.put("ben@example.com", 1)
    refused, erased = await Engine(stand).erase([erasure_of(stand, ADA), erasure_of(stand, "ben@example.com")])
    assert isinstance(refused, BlastRadius)
    assert isinstance(erased, Receipt)
    assert (stand.holds(ADA), erased.changed) == (3, 1)


@pytest.mark.parametrize(("more", "erased"), [(0, True), (1, False)])
async def test_what_was_confirmed_is_erased_unless_there_is_more_by_then(more: int, *, erased: bool) -> None:
    stand = stand_of(MailingSystem([], SetClock()), 3, max_rows=2)
    engine, task = Engine(stand), erasure_of(stand, ADA)
    [refused] = await engine.erase([task])
    assert isinstance(refused, BlastRadius)
    assert refused.exceeded == Exceeded(limit=Limit.MAX_ROWS, found=3, allowed=2)
    stand.put(ADA, more)
    [result] = await engine.erase([replace(task, confirmed={Limit.MAX_ROWS: 3})])
    assert isinstance(result, Receipt if erased else BlastRadius)
    assert stand.holds(ADA) == (0 if erased else 4)


async def test_more_results_than_one_request_may_have_are_not_fetched_before_as_many_are_confirmed() -> None:
    stand = stand_of(MailingSystem([], SetClock()), 3, max_rows=2)
    task = replace(erasure_of(stand, ADA), operation=Operation.EXPORT)
    [refused] = await stand.adapter.export([task], Engine(stand).save_progress)
    assert isinstance(refused, BlastRadius)
    confirmed = replace(task, confirmed={Limit.MAX_ROWS: 3})
    [exported] = await stand.adapter.export([confirmed], Engine(stand).save_progress)
    assert isinstance(exported, Receipt)
    assert exported.found == 3


class Sloppy(MailingSystem):
    """Finds whoever has the name in their address."""

    def work(self) -> None:
        """Do what was taken, for everybody alike."""
        for taken in self.taken.values():
            taken.found = self.rows


async def test_a_search_that_finds_somebody_else_too_is_stopped_before_anything_is_done() -> None:
    stand = stand_of(Sloppy([], SetClock()))
    stand.put(f"x{ADA}", 1)
    [erased] = await Engine(stand).erase([erasure_of(stand, ADA)])
    assert [type(each) for each in (erased, await copied(stand))] == [ForeignHit, ForeignHit]
    assert {taken.request.subject_request_type for taken in stand.system.taken.values()} == {"access"}


async def test_access_gives_what_the_processor_holds_and_its_own_words_only_to_the_subject() -> None:
    stand = stand_of(MailingSystem([], SetClock()), 1, portable=True)
    result = await copied(stand)
    assert isinstance(result, Receipt)
    record = Record("subscription", "mailing", {"email": ADA, "list": "0"}, matched=(Match("email", ADA),))
    expected = Receipt(result.task_id, TaskOutcome.EXPORTED, 1, by_category={"record": 1}, records=(record,))
    assert result == expected
    assert stand.holds(ADA) == 1


async def test_access_to_an_unknown_subject_is_no_match() -> None:
    result = await copied(stand_of(MailingSystem([], SetClock())), "ben@example.com")
    assert isinstance(result, Receipt)
    assert result == Receipt(result.task_id, TaskOutcome.NO_MATCH)


def discovery(formats: tuple[str, ...] = ("raw",), types: tuple[str, ...] = ("access", "erasure")) -> httpx.Response:
    identities = [{"identity_type": "email", "identity_format": format_} for format_ in formats]
    return httpx.Response(200, json={"supported_identities": identities, "supported_subject_request_types": types})


@pytest.mark.parametrize(
    ("offer", "says"),
    [
        (discovery(formats=("md5", "sha1")), "md5 and sha1 are never sent"),
        (discovery(formats=()), "email not at all"),
        (discovery(types=("erasure",)), "does not support access"),
        (httpx.Response(200, json={}), "check supported_identities, supported_subject_request_types"),
    ],
)
async def test_a_processor_that_cannot_do_it_is_refused_before_it_hears_who(offer: httpx.Response, says: str) -> None:
    heard: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        heard.append(request.url.path)
        return offer

    stand = answering(handler)
    with pytest.raises(Refused, match=says):
        await Engine(stand).once([erasure_of(stand, ADA)])
    assert heard == ["/v2/discovery"]


@pytest.mark.parametrize(
    ("code", "failure", "says"),
    [
        (503, Unavailable, "mailing answered 503"),
        (429, Unavailable, "mailing answered 429"),
        (401, SignInRefused, "check the token in TOKEN"),
        (302, Refused, "mailing answered 302 where 201 was expected"),
        (422, Refused, "mailing answered 422 where 201 was expected"),
    ],
)
async def test_an_error_is_told_as_what_it_means_and_never_in_the_processors_words(
    code: int, failure: type[Exception], says: str
) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("discovery"):
            return discovery()
        return httpx.Response(code, json={"error": {"message": f"bad address {ADA}"}})

    stand = answering(handler)
    [result] = await Engine(stand).once([erasure_of(stand, ADA)])
    assert type(result) is failure
    assert says in str(result)
    assert ADA not in repr(result)


async def test_a_processor_that_is_away_is_unavailable_to_every_task() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody there", request=request)

    stand = answering(handler)
    with pytest.raises(Unavailable, match="ConnectError"):
        await Engine(stand).once([erasure_of(stand, ADA)])


async def test_a_call_carries_the_trace_and_the_token() -> None:
    heard: list[httpx.Headers] = []

    def handler(request: httpx.Request) -> httpx.Response:
        heard.append(request.headers)
        return completed(request, results_count=0)

    stand = answering(handler)
    with TracerProvider().get_tracer("test").start_as_current_span("erase mailing") as span:
        await Engine(stand).once([erasure_of(stand, ADA)])
    trace_id = format(span.get_span_context().trace_id, "032x")
    assert {headers["traceparent"].split("-")[1] for headers in heard} == {trace_id}
    assert {headers["authorization"] for headers in heard} == {"Bearer secret"}


def completed(request: httpx.Request, **more: object) -> httpx.Response:
    """A processor that has just completed whatever it is asked about."""
    if request.url.path.endswith("discovery"):
        return discovery()
    if request.method == "POST":
        return httpx.Response(400, json={"error": {"code": 400, "message": "duplicate"}})
    request_id = request.url.path.rsplit("/", 1)[-1]
    return httpx.Response(200, json={"subject_request_id": request_id, "request_status": "completed", **more})


async def test_a_repeat_that_the_processor_calls_a_mistake_is_absorbed() -> None:
    stand = answering(lambda request: completed(request, results_count=0))
    task = erasure_of(stand, ADA)
    assert await Engine(stand).erase([task]) == [Receipt(task.task_id, TaskOutcome.NO_MATCH)]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({}, "gives no results_count"),
        ({"request_status": "cancelled"}, "cancelled the access request"),
        ({"request_status": "failed"}, "check request_status"),
        ({"subject_request_id": str(uuid4())}, "answered about another request"),
        ({"results_count": -1}, "check results_count"),
        ({"results_count": 2**64}, "check results_count"),
        ({"results_count": "2"}, "check results_count"),
        ({"results_count": True}, "check results_count"),
    ],
)
async def test_an_answer_that_proves_nothing_is_refused(answer: dict[str, object], says: str) -> None:
    stand = answering(lambda request: completed(request, **answer))
    [result] = await Engine(stand).erase([erasure_of(stand, ADA)])
    assert isinstance(result, Refused)
    assert says in str(result)


@pytest.mark.parametrize(
    "address", ["https://elsewhere.example/r", "http://mailing.example/r", "file:///etc/passwd", "/r"]
)
async def test_results_are_fetched_from_the_processor_alone(address: str) -> None:
    result = await copied(answering(lambda request: completed(request, results_count=1, results_url=address)))
    assert isinstance(result, Refused)
    assert "results_hosts" in str(result)


async def test_another_host_that_may_hold_results_is_not_shown_the_token() -> None:
    shown: set[tuple[str, bool]] = set()

    def handler(request: httpx.Request) -> httpx.Response:
        shown.add((request.url.host, "authorization" in request.headers))
        if request.url.host == "results.example":
            return httpx.Response(200, json=[])
        return completed(request, results_count=1, results_url="https://results.example/r")

    await copied(answering(handler, results_hosts=["results.example"]))
    assert shown == {("localhost", True), ("results.example", False)}


def test_the_id_of_a_step_is_a_uuid4_and_always_the_same() -> None:
    task_id = UUID("0190b7a0-0000-7000-8000-000000000001")
    ids = {subject_request_id(task_id, purpose, round_) for purpose in ("before", "erase") for round_ in (0, 1)}
    assert len(ids) == 4
    assert {each.version for each in ids} == {4}
    assert subject_request_id(task_id, "before", 0) in ids
