"""Misbehaviour and guarantees of a third party that is reached by OpenDSR."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from opentelemetry.sdk.trace import TracerProvider
from pydantic import ValidationError

from shared.domain.errors import (
    AnswerMalformed,
    DataStillPresent,
    LimitExceeded,
    Misconfigured,
    Refused,
    SignInRefused,
    Unavailable,
    WrongPersonMatch,
)
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome
from shared.domain.release import Match
from shared.systems.contract import CopiedRecord, Pending, Receipt, Result
from shared.systems.opendsr.processor import RequestType, SignatureWrong, request_body, subject_request_id
from shared.systems.opendsr.settings import OpenDsrSettings
from tests.contract.adapter_stands import NOON, Engine, OpenDsrStand, erasure_of, opendsr_stand, task_of
from tests.fakes.opendsr_responder import DsrRequest, MailingSystem, Row, Taken, application
from tests.fixtures.engine import SetClock

ADA = "ada@example.com"


def stand_of(system: MailingSystem, rows: int = 2, **settings: object) -> OpenDsrStand:
    stand = opendsr_stand(system, settings)
    stand.put(ADA, rows)
    return stand


def answering(handler: Callable[[httpx.Request], httpx.Response], **settings: object) -> OpenDsrStand:
    return opendsr_stand(MailingSystem([], SetClock()), settings, transport=httpx.MockTransport(handler))


async def copied(stand: OpenDsrStand, email: str = ADA) -> Result:
    """Returns the result of an access request."""
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
    system = Counting([], SetClock(), immediate=False)
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
    assert isinstance(result, DataStillPresent)
    liar.rows = []
    assert await engine.erase([task]) == [Receipt(task.task_id, TaskOutcome.ERASED, found=2, changed=2)]


async def test_more_results_than_one_request_may_touch_are_not_erased_and_stop_that_request_alone() -> None:
    stand = stand_of(MailingSystem([], SetClock()), 3, max_rows=2)
    stand.put("ben@example.com", 1)
    refused, erased = await Engine(stand).erase([erasure_of(stand, ADA), erasure_of(stand, "ben@example.com")])
    assert isinstance(refused, LimitExceeded)
    assert isinstance(erased, Receipt)
    assert (stand.holds(ADA), erased.changed) == (3, 1)


@pytest.mark.parametrize(("more", "erased"), [(0, True), (1, False)])
async def test_what_was_confirmed_is_erased_unless_there_is_more_by_then(more: int, *, erased: bool) -> None:
    stand = stand_of(MailingSystem([], SetClock()), 3, max_rows=2)
    engine, task = Engine(stand), erasure_of(stand, ADA)
    [refused] = await engine.erase([task])
    assert isinstance(refused, LimitExceeded)
    assert refused.exceeded == Exceeded(limit=Limit.MAX_ROWS, found=3, allowed=2)
    stand.put(ADA, more)
    [result] = await engine.erase([replace(task, confirmed={Limit.MAX_ROWS: 3})])
    assert isinstance(result, Receipt if erased else LimitExceeded)
    assert stand.holds(ADA) == (0 if erased else 4)


async def test_more_results_than_one_request_may_have_are_not_fetched_before_as_many_are_confirmed() -> None:
    stand = stand_of(MailingSystem([], SetClock()), 3, max_rows=2)
    task = replace(erasure_of(stand, ADA), operation=Operation.EXPORT)
    [refused] = await stand.adapter.export([task], Engine(stand).save_progress)
    assert isinstance(refused, LimitExceeded)
    confirmed = replace(task, confirmed={Limit.MAX_ROWS: 3})
    [exported] = await stand.adapter.export([confirmed], Engine(stand).save_progress)
    assert isinstance(exported, Receipt)
    assert exported.found == 3


class Sloppy(MailingSystem):
    """Matches any address that contains the name."""

    def work(self) -> None:
        """Works all requests alike."""
        for taken in self.taken.values():
            taken.found = self.rows


async def test_search_that_also_finds_another_person_is_stopped_first() -> None:
    stand = stand_of(Sloppy([], SetClock()))
    stand.put(f"x{ADA}", 1)
    [erased] = await Engine(stand).erase([erasure_of(stand, ADA)])
    assert [type(each) for each in (erased, await copied(stand))] == [WrongPersonMatch, WrongPersonMatch]
    assert {taken.request.subject_request_type for taken in stand.system.taken.values()} == {"access"}


async def test_access_gives_what_the_processor_holds_and_its_own_words_only_to_the_subject() -> None:
    stand = stand_of(MailingSystem([], SetClock()), 1, portable=True)
    result = await copied(stand)
    assert isinstance(result, Receipt)
    record = CopiedRecord("subscription", "mailing", {"email": ADA, "list": "0"}, matched=(Match("email", ADA),))
    expected = Receipt(result.task_id, TaskOutcome.EXPORTED, 1, by_category={"record": 1}, records=(record,))
    assert result == expected
    assert stand.holds(ADA) == 1


def discovery(formats: tuple[str, ...] = ("raw",), types: tuple[str, ...] = ("access", "erasure")) -> httpx.Response:
    identities = [{"identity_type": "email", "identity_format": format_} for format_ in formats]
    return httpx.Response(200, json={"supported_identities": identities, "supported_subject_request_types": types})


@pytest.mark.parametrize(
    ("offer", "says"),
    [
        (discovery(formats=("md5", "sha1")), "does not take email as it is written"),
        (discovery(types=("erasure",)), "does not support access"),
        (httpx.Response(200, json={}), "check supported_identities, supported_subject_request_types"),
    ],
)
async def test_incapable_processor_is_refused_before_it_gets_an_identity(offer: httpx.Response, says: str) -> None:
    called: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        called.append(request.url.path)
        return offer

    stand = answering(handler)
    with pytest.raises(Refused, match=says):
        await Engine(stand).once([erasure_of(stand, ADA)])
    assert called == ["/v2/discovery"]


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
async def test_error_is_reported_without_the_processors_words(code: int, failure: type[Exception], says: str) -> None:
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
        raise httpx.ConnectError("no server", request=request)

    stand = answering(handler)
    with pytest.raises(Unavailable, match="ConnectError"):
        await Engine(stand).once([erasure_of(stand, ADA)])


async def test_a_call_carries_the_trace_and_the_token() -> None:
    received: list[httpx.Headers] = []

    def handler(request: httpx.Request) -> httpx.Response:
        received.append(request.headers)
        return completed(request, results_count=0)

    stand = answering(handler)
    with TracerProvider().get_tracer("test").start_as_current_span("erase mailing") as span:
        await Engine(stand).once([erasure_of(stand, ADA)])
    trace_id = format(span.get_span_context().trace_id, "032x")
    assert {headers["traceparent"].split("-")[1] for headers in received} == {trace_id}
    assert {headers["authorization"] for headers in received} == {"Bearer secret"}


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


# What the table of an OpenDSR processor makes of identities, and what it may not say.
def test_a_number_travels_as_an_extension_of_the_processors_domain() -> None:
    table = {"url": "http://localhost/v2", "domain": "m.example", "extensions": {"phone": "phone_number"}}
    identities = [Identity(IdentityType.EMAIL, ADA), Identity(IdentityType.PHONE, "+4930123456")]
    body = request_body(
        uuid4(), RequestType.ERASURE, identities, "2026-03-02T12:00:00Z", OpenDsrSettings.model_validate(table)
    )
    number = {"identity_type": "phone_number", "identity_value": "+4930123456", "identity_format": "raw"}
    assert body["extensions"] == {"m.example": {"identities": [number]}}
    assert body["subject_identities"] == [{"identity_type": "email", "identity_value": ADA, "identity_format": "raw"}]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"identities": {"phone": "phone"}}, "OpenDSR has no phone; put it under extensions"),
        ({"extensions": {"phone": "phone"}}, 'write domain = "dsr.example.com"'),
        ({"url": "http://m.example/v2"}, "url must begin with https://"),
        ({"url": "https://m.example/v2"}, "what is not signed is not believed"),
    ],
)
def test_table_that_leaks_identities_or_has_nothing_to_search_by_fails(table: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OpenDsrSettings.model_validate({"url": "http://localhost/v2", **table})
    assert says in str(caught.value)


# Only what the processor's own certificate signed is believed.
DOMAIN = "mailing.example"
PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey


def certificate(folder: Path, key: PrivateKey, domain: str = DOMAIN) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, domain)])
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOON - timedelta(days=1))
        .not_valid_after(NOON + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        .sign(key, SHA256())
    )
    path = folder / "mailing.pem"
    path.write_bytes(made.public_bytes(Encoding.PEM))
    return str(path)


def signer(key: PrivateKey) -> Callable[[bytes], bytes]:
    match key:
        case RSAPrivateKey():
            return lambda body: key.sign(body, PKCS1v15(), SHA256())
        case _:
            return lambda body: key.sign(body, ECDSA(SHA256()))


async def erased(path: str, sign: Callable[[bytes], bytes] | None, domain: str = DOMAIN, days: int = 0) -> Result:
    """Returns the result of an erasure some days later, at a processor with this signature and domain."""
    system = MailingSystem([], SetClock(NOON + timedelta(days=days)))
    transport = httpx.ASGITransport(application(system, sign=sign, domain=domain))
    stand = opendsr_stand(system, {"certificate": path, "domain": DOMAIN}, transport)
    stand.put(ADA, 2)
    [result] = await Engine(stand).erase([erasure_of(stand, ADA)])
    assert stand.holds(ADA) == (0 if isinstance(result, Receipt) else 2)
    return result


@pytest.fixture(scope="module", params=["rsa", "ecdsa"])
def key(request: pytest.FixtureRequest) -> PrivateKey:
    return generate_rsa(65537, 2048) if request.param == "rsa" else generate_ec(SECP256R1())


async def test_a_processor_that_signs_is_believed(tmp_path: Path, key: PrivateKey) -> None:
    result = await erased(certificate(tmp_path, key), signer(key))
    assert isinstance(result, Receipt)
    assert result == Receipt(result.task_id, TaskOutcome.ERASED, found=2, changed=2)


@pytest.mark.parametrize(
    ("signature", "domain", "days", "says"),
    [
        ("another key's", DOMAIN, 0, "X-OpenDSR-Signature is not a signature of mailing.example"),
        ("none", DOMAIN, 0, "X-OpenDSR-Signature is not a signature of mailing.example"),
        ("its own", "other.example", 0, "X-OpenDSR-Processor-Domain does not say mailing.example"),
        ("its own", DOMAIN, 2, "not valid today"),
    ],
)
async def test_an_answer_that_its_certificate_does_not_vouch_for_is_not_believed_and_nothing_is_erased(
    tmp_path: Path, key: PrivateKey, signature: str, domain: str, days: int, says: str
) -> None:
    signers = {"another key's": signer(generate_ec(SECP256R1())), "none": None, "its own": signer(key)}
    result = await erased(certificate(tmp_path, key), signers[signature], domain, days)
    assert isinstance(result, SignatureWrong)
    assert says in str(result)


@pytest.mark.parametrize("operation", ["export", "erase"])
@pytest.mark.parametrize("signs", ["nothing", "another's", "other results"])
async def test_unsigned_results_erase_nothing(tmp_path: Path, key: PrivateKey, operation: str, signs: str) -> None:
    """Only the results are unsigned; everything else is signed correctly."""
    own, foreign = signer(key), signer(generate_ec(SECP256R1()))

    def sign(body: bytes) -> bytes:
        if b'"subscription":[' not in body:
            return own(body)
        return {"nothing": b"", "another's": foreign(body), "other results": own(body.replace(b'"0"', b'"2"'))}[signs]

    system = MailingSystem([], SetClock(NOON))
    transport = httpx.ASGITransport(application(system, sign=sign))
    stand = opendsr_stand(system, {"certificate": certificate(tmp_path, key), "domain": DOMAIN}, transport)
    stand.put(ADA, 2)
    work = {
        "erase": Engine(stand).once,
        "export": lambda tasks: stand.adapter.export(tasks, Engine(stand).save_progress),
    }
    [result] = await work[operation]([task_of(stand, ADA, Operation(operation))])
    assert isinstance(result, SignatureWrong)
    assert stand.holds(ADA) == 2


async def test_results_that_are_signed_go_into_the_package(tmp_path: Path, key: PrivateKey) -> None:
    system = MailingSystem([], SetClock(NOON))
    transport = httpx.ASGITransport(application(system, sign=signer(key)))
    stand = opendsr_stand(system, {"certificate": certificate(tmp_path, key), "domain": DOMAIN}, transport)
    stand.put(ADA, 2)
    [result] = await stand.adapter.export([task_of(stand, ADA, Operation.EXPORT)], Engine(stand).save_progress)
    assert isinstance(result, Receipt)
    assert [record.category for record in result.records] == ["subscription"] * 2


async def test_a_certificate_of_another_domain_is_a_mistake_in_the_file(tmp_path: Path, key: PrivateKey) -> None:
    with pytest.raises(Misconfigured, match=r"not issued for mailing\.example"):
        await erased(certificate(tmp_path, key, "other.example"), None)


async def test_a_certificate_that_cannot_be_read_is_a_mistake_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"absent\.pem: not a readable PEM certificate"):
        await erased(str(tmp_path / "absent.pem"), None)


# What an OpenDSR processor gives as results of an access request: as many as it counted, of the subject alone.
def giving(results: object, count: int = 1) -> OpenDsrStand:
    """A processor that counts so many results of whatever it is asked for, and gives these."""

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/results"):
            return httpx.Response(200, json=results)
        return completed(request, results_count=count, results_url="http://localhost/v2/results")

    return answering(handler)


@pytest.mark.parametrize(
    ("results", "count", "says"),
    [
        ({ADA: [{"list": "0"}]}, 1, "each a word of small letters"),
        ({"../../x": [{"list": "0"}]}, 1, "each a word of small letters"),
        ({"+4930123456": [{"list": "0"}]}, 1, "each a word of small letters"),
        ({"a" * 42: [{"list": "0"}]}, 1, "each a word of small letters"),
        ({"subscription": {"list": "0"}}, 1, "are not JSON objects by category"),
        (["0"], 1, "are not JSON objects by category"),
        ("none", 1, "are not JSON objects by category"),
        ([{"list": "0"}], 2, "counts 2 results and gives 1"),
        ({"subscription": [{"list": "0"}, {"list": "1"}]}, 1, "counts 1 results and gives 2"),
    ],
)
@pytest.mark.parametrize("operation", ["export", "erase"])
async def test_malformed_or_miscounted_results_fail(results: object, count: int, says: str, operation: str) -> None:
    stand = giving(results, count)
    result = await copied(stand) if operation == "export" else (await Engine(stand).erase([erasure_of(stand, ADA)]))[0]
    assert isinstance(result, AnswerMalformed)
    assert says in str(result)
    assert ADA not in str(result)


BEN = "ben@example.com"


@pytest.mark.parametrize(
    "data",
    [
        {"email": BEN},
        {"email": [ADA, BEN]},
        {"contact": {"email": BEN}},
        {"contacts": [{"email": ADA}, {"email": BEN}]},
        {"email": {"work": ADA, "home": BEN}},
        {"Email": BEN},
        {"E-Mail": f" {BEN} "},
        {"e_mail": BEN},
    ],
)
async def test_identity_of_another_person_is_seen_anywhere_in_a_result(data: dict[str, object]) -> None:
    assert isinstance(await copied(giving([data])), WrongPersonMatch)


@pytest.mark.parametrize(
    "data", [{"email": ADA}, {"EMAIL": [ADA.upper()]}, {"email": None}, {"sender": BEN}, {"email": ""}]
)
async def test_subjects_own_identity_is_not_taken_for_anothers(data: dict[str, object]) -> None:
    assert isinstance(await copied(giving([data])), Receipt)
