"""A Prometheus on this machine that scrapes the five services as the privacy team's does, with the committed rules."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode
from urllib.request import urlopen

from deploy.local.paths import ROOT
from deploy.local.ports import HOST, answers, free_port
from deploy.local.process import Child
from deploy.local.progress import Progress
from deploy.local.prometheus_programs import find_prometheus
from deploy.local.services import Services

RULES = ROOT / "deploy" / "prometheus" / "rules"


class QueryError(RuntimeError):
    """Prometheus did not understand a query, or could not answer it."""


class Prometheus:
    """Started, it scrapes every ``every_seconds``; its data lies below ``directory``."""

    def __init__(
        self, directory: Path, services: Services, every_seconds: int = 1, progress: Progress | None = None
    ) -> None:
        self._directory = directory
        self._services = services
        self._every = f"{every_seconds}s"
        self._progress = progress or Progress()
        self._child: Child | None = None
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it is ready; its first answers come some seconds later."""
        programs = find_prometheus(self._progress)
        self._directory.mkdir(parents=True, exist_ok=True)
        configuration = self._directory / "prometheus.json"
        configuration.write_text(json.dumps(self._configuration(), indent=2))
        self._child = Child(
            "Prometheus",
            [
                programs / "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={self._directory / 'data'}",
                f"--web.listen-address={HOST}:{self.port}",
            ],
            log=self._directory / "prometheus.log",
            ready=answers(f"{self.url}/-/ready"),
        )
        self._child.start()

    def stop(self) -> None:
        """Stops it."""
        if self._child:
            self._child.stop()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an instant query answers now; raises ``QueryError``."""
        return self._ask("query", {"query": expression})

    def query_range(self, expression: str, seconds: int, step: int = 1) -> list[dict[str, Any]]:
        """What a query answers over the last seconds; raises ``QueryError``."""
        now = time.time()  # noqa: TID251  # Prometheus's own clock is meant
        return self._ask("query_range", {"query": expression, "start": now - seconds, "end": now, "step": step})

    def _ask(self, what: str, parameters: Mapping[str, object]) -> list[dict[str, Any]]:
        try:
            with urlopen(f"{self.url}/api/v1/{what}?{urlencode(parameters)}", timeout=10) as answer:  # noqa: S310  # our own
                return json.load(answer)["data"]["result"]  # type: ignore[no-any-return]
        except OSError as error:
            raise QueryError(f"{parameters['query']}: {error}") from error

    def _configuration(self) -> dict[str, Any]:
        targets = [
            {"targets": [f"{HOST}:{port}"], "labels": {"instance": name}} for name, port in self._services.ports.items()
        ]
        token = {"type": "Bearer", "credentials": self._services.metrics_token}
        scrape = {"job_name": "dsr", "metrics_path": "/metrics/privacy", "static_configs": targets}
        return {
            "global": {"scrape_interval": self._every, "evaluation_interval": self._every, "scrape_timeout": "1s"},
            "rule_files": [str(RULES / "*.yml")],
            "scrape_configs": [{**scrape, "authorization": token}],
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
