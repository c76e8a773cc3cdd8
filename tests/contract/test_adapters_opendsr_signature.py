"""Only what the processor's own certificate signed is believed."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

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

from shared.domain.errors import Misconfigured
from shared.domain.operations import TaskOutcome
from shared.downstreams.contract import Receipt, Result
from shared.downstreams.opendsr.signature import SignatureWrong
from tests.contract.adapter_stands import NOON, Engine, erasure_of, opendsr_stand
from tests.fakes.opendsr_responder import MailingSystem, application
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


async def erased(path: str, sign: Callable[[bytes], bytes] | None, domain: str = DOMAIN, days: int = 0) -> Result:
    """What an erasure comes to, so many days later, at a processor that signs so in this domain's name."""
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
async def test_results_that_the_processor_has_not_signed_are_refused_and_nothing_is_erased(
    tmp_path: Path, key: PrivateKey, operation: str, signs: str
) -> None:
    """Everything else that it says is signed as it should be, so the results alone are to blame."""
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
    [result] = await work[operation]([erasure_of(stand, ADA)])
    assert isinstance(result, SignatureWrong)
    assert stand.holds(ADA) == 2


async def test_results_that_are_signed_go_into_the_package(tmp_path: Path, key: PrivateKey) -> None:
    system = MailingSystem([], SetClock(NOON))
    transport = httpx.ASGITransport(application(system, sign=signer(key)))
    stand = opendsr_stand(system, {"certificate": certificate(tmp_path, key), "domain": DOMAIN}, transport)
    stand.put(ADA, 2)
    [result] = await stand.adapter.export([erasure_of(stand, ADA)], Engine(stand).save_progress)
    assert isinstance(result, Receipt)
    assert [record.category for record in result.records] == ["subscription"] * 2


async def test_a_certificate_of_another_domain_is_a_mistake_in_the_file(tmp_path: Path, key: PrivateKey) -> None:
    with pytest.raises(Misconfigured, match=r"not issued for mailing\.example"):
        await erased(certificate(tmp_path, key, "other.example"), None)


async def test_a_certificate_that_cannot_be_read_is_a_mistake_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"absent\.pem: not a readable PEM certificate"):
        await erased(str(tmp_path / "absent.pem"), None)
