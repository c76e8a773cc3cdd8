"""What subject and company hold in their hands afterwards: certificates, packages, commands to look further."""

import io
import os
import shlex
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from deploy.demo.board import SubmittedRequest
from deploy.demo.client import DsrClient
from deploy.demo.estate import Estate
from deploy.demo.finding import Finding
from deploy.demo.sites import Sites
from deploy.local.paths import ROOT
from deploy.local.services import Services
from deploy.up import environment
from shared.domain.release import REPORT
from shared.domain.topics import ServiceName
from shared.storage import certificate

DASHBOARDS = ROOT / "deploy" / "k8s" / "components" / "observability" / "dashboards"


async def collect(client: DsrClient, requests: Sequence[SubmittedRequest], folder: Path, trusted: bytes) -> None:
    """Download certificate and package of every closed request into the folder, and verify the certificate."""
    for request in requests:
        if request.view.get("state") != "closed":
            continue
        name = f"{request.part.right}-{request.request_id}"
        certified = await client.download(request.request_id, "certificate")
        files = {folder / f"{name}.certificate.json": certified}
        content = orjson.loads(certified)
        problems = certificate.verify(content, trusted)
        holds = f"the certificate over {len(content['entries'])} entries of evidence holds"
        request.certificate = Finding(not problems, "; ".join(problems) or holds)
        if request.view.get("package"):
            request.package = await client.download(request.request_id, "package")
            files[folder / f"{name}.zip"] = request.package
            with zipfile.ZipFile(io.BytesIO(request.package)) as archive:
                if REPORT in archive.namelist():
                    files[folder / f"{name}.{REPORT}"] = archive.read(REPORT)
        for path, downloaded in files.items():
            path.write_bytes(downloaded)
        request.files = tuple(files)


def further(
    services: Services, estate: Estate, sites: Sites, request: SubmittedRequest, *, stays: bool
) -> Mapping[str, str]:
    """Commands that show more, ready to paste; with addresses where those stay up."""
    certified = request.files[0] if request.files else Path("FILE")
    dsr = _shown(Path(sys.executable).with_name("dsr"))
    offline = {
        "certificates, packages, letters, reports": _shown(certified.parent),
        "check a certificate offline": f"{dsr} certificate verify {_shown(certified)}",
        "logs": " ".join(_shown(path) for path in (services.directory, *estate.logs.values())),
    }
    if not stays:
        return offline
    key = services.key("privacy")
    curl = f'curl -s -H "Authorization: Bearer {key}" {services.url}/v1/requests/{request.request_id}'
    return {
        **sites.shown(),
        "where a request stands, and its timeline": f"{curl} ; {curl}/timeline",
        "submit one of your own": environment.curl(services.url, services.key("channel")),
        "the API's documentation": f"{services.url}/docs",
        "the six services' metrics, explained in docs/metrics.md": " ".join(
            f"{services.url_of(name)}/metrics" for name in ServiceName
        ),
        "the dashboards in a Grafana of your own: import each, on a Prometheus that runs with": " ".join(
            (f"{_shown(DASHBOARDS)}/*.json", f"--config.file={_shown(services.prometheus)}")
        ),
        "the broker": estate.platform.kafka_bootstrap,
        "the platform's database": f"psql {estate.dsn}",
        **offline,
    }


def _shown(path: Path) -> str:
    """A path as one would type it here."""
    return shlex.quote(os.path.relpath(path))
