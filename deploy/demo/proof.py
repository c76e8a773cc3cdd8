"""What subject and company hold in their hands afterwards: certificates, packages, commands to look further."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from deploy.demo.board import SubmittedRequest
from deploy.demo.client import DsrClient
from deploy.demo.estate import Estate
from deploy.demo.report import Finding
from deploy.local.services import Services
from shared.domain.topics import ServiceName
from shared.storage import certificate


@dataclass(frozen=True, slots=True)
class Proof:
    """The files that were downloaded for one request, and whether they hold."""

    files: tuple[Path, ...]
    findings: tuple[Finding, ...]
    package: bytes


async def collect(client: DsrClient, requests: Sequence[SubmittedRequest], folder: Path) -> Mapping[str, Proof]:
    """Download every certificate and package into the empty folder, by request id."""
    return {request.request_id: await _collect(client, request, folder) for request in requests}


async def _collect(client: DsrClient, request: SubmittedRequest, folder: Path) -> Proof:
    if request.view.get("state") != "closed":
        return Proof((), (), b"")
    name = f"{request.part.right}-{request.request_id}"
    files = [folder / f"{name}.certificate.json"]
    content = await client.download(request.request_id, "certificate")
    files[0].write_bytes(content)
    problems = certificate.verify(orjson.loads(content))
    entries = len(orjson.loads(content)["entries"])
    finding = Finding(
        not problems,
        f"the certificate over {entries} entries of evidence holds" if not problems else "; ".join(problems),
    )
    package = b""
    if request.view.get("package"):
        package = await client.download(request.request_id, "package")
        files.append(folder / f"{name}.zip")
        files[1].write_bytes(package)
    return Proof(tuple(files), (finding,), package)


def further(services: Services, estate: Estate, proofs: Mapping[str, Proof]) -> Mapping[str, str]:
    """Commands that show more, ready to paste."""
    key = services.key("privacy")
    request = next(iter(proofs))
    certificate_of = proofs[request].files[0] if proofs[request].files else Path("FILE")
    curl = f'curl -s -H "Authorization: Bearer {key}" {services.url}/v1/requests'
    return {
        "where a request stands, and its timeline": f"{curl}/{request} ; {curl}/{request}/timeline",
        "check a certificate offline": f"{_shown(Path(sys.executable).with_name('dsr'))} certificate verify"
        f" {_shown(certificate_of)}",
        "the API's documentation": f"{services.url}/docs",
        "the five services' metrics, explained in docs/metrics.md": " ".join(
            f"{services.url_of(name)}/metrics" for name in ServiceName
        ),
        "a Prometheus that watches them, if you have one": f"prometheus --config.file={_shown(services.prometheus)}",
        "logs": " ".join(_shown(path) for path in (services.directory, *estate.logs.values())),
        "the platform's database": f"psql {estate.dsn}",
    }


def _shown(path: Path) -> str:
    """A path as one would type it here."""
    return shlex.quote(os.path.relpath(path))
