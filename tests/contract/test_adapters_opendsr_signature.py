"""Only what the processor's own certificate signed is believed."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from shared.domain.errors import Misconfigured
from shared.domain.operations import TaskOutcome
from shared.downstreams.contract import Receipt
from shared.downstreams.opendsr.signature import SignatureWrong
from tests.contract.adapter_stands import NOON, Engine, OpenDsrStand, erasure_of, opendsr_adapter
from tests.fakes.opendsr_responder import MailingSystem
from tests.fixtures.engine import SetClock

ADA = "ada@example.com"
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


def stand_of(
    path: str, sign: Callable[[bytes], bytes] | None, *, domain: str = DOMAIN, now: datetime = NOON
) -> OpenDsrStand:
    clock = SetClock(now)
    system = MailingSystem([], clock)
    stand = OpenDsrStand(
        opendsr_adapter(system, clock, {"certificate": path, "domain": DOMAIN}, sign=sign, domain=domain), system
    )
    stand.put(ADA, 2)
    return stand


@pytest.fixture(scope="module", params=["rsa", "ecdsa"])
def key(request: pytest.FixtureRequest) -> PrivateKey:
    return generate_rsa(65537, 2048) if request.param == "rsa" else generate_ec(SECP256R1())


async def test_a_processor_that_signs_is_believed(tmp_path: Path, key: PrivateKey) -> None:
    stand = stand_of(certificate(tmp_path, key), signer(key))
    task = erasure_of(stand, ADA)
    assert await Engine(stand).erase([task]) == [Receipt(task.task_id, TaskOutcome.ERASED, found=2, changed=2)]


async def test_an_answer_that_another_key_signed_is_not_believed_and_nothing_is_erased(
    tmp_path: Path, key: PrivateKey
) -> None:
    stand = stand_of(certificate(tmp_path, key), signer(generate_ec(SECP256R1())))
    [result] = await Engine(stand).erase([erasure_of(stand, ADA)])
    assert isinstance(result, SignatureWrong)
    assert stand.holds(ADA) == 2


async def test_an_answer_without_a_signature_is_not_believed(tmp_path: Path, key: PrivateKey) -> None:
    stand = stand_of(certificate(tmp_path, key), None)
    [result] = await Engine(stand).erase([erasure_of(stand, ADA)])
    assert isinstance(result, SignatureWrong)


async def test_an_answer_in_another_domains_name_is_not_believed(tmp_path: Path, key: PrivateKey) -> None:
    stand = stand_of(certificate(tmp_path, key), signer(key), domain="other.example")
    [result] = await Engine(stand).erase([erasure_of(stand, ADA)])
    assert isinstance(result, SignatureWrong)


async def test_a_certificate_proves_nothing_after_its_last_day(tmp_path: Path, key: PrivateKey) -> None:
    stand = stand_of(certificate(tmp_path, key), signer(key), now=NOON + timedelta(days=2))
    [result] = await Engine(stand).erase([erasure_of(stand, ADA)])
    assert isinstance(result, SignatureWrong)
    assert "not valid today" in str(result)


def test_a_certificate_of_another_domain_is_a_mistake_in_the_file(tmp_path: Path, key: PrivateKey) -> None:
    with pytest.raises(Misconfigured, match=r"not issued for mailing\.example"):
        stand_of(certificate(tmp_path, key, "other.example"), None)


def test_a_certificate_that_cannot_be_read_is_a_mistake_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"absent\.pem: not a readable PEM certificate"):
        stand_of(str(tmp_path / "absent.pem"), None)
