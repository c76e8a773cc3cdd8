"""A real Apache Kafka broker of one node (KRaft) as our child process."""

import base64
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from deploy.local import kafka_programs
from deploy.local.kafka_programs import find_java
from deploy.local.paths import CACHE
from deploy.local.ports import HOST, accepts, free_ports
from deploy.local.process import Child
from deploy.local.server import Server

ADMIN = "admin"
"""The user of a guarded broker who may do everything."""

_CHECKPOINT = "bootstrap.checkpoint"
"""The first file of a formatted folder."""
_TRACELESS = ("-XX:-UsePerfData", "-Djava.io.tmpdir=tmp")  # a killed Java would leave files in the system's folder


class Kafka(Server):
    """The broker, with its data and its log in ``directory``.

    With ``passwords`` (by user) it asks everybody who they are, and its access rules hold; ``admin`` may do all.
    """

    title = "the broker"
    number = 1
    """Of the node in its cluster."""
    memory: tuple[str, ...] = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

    def __init__(self, directory: Path, passwords: Mapping[str, str] | None = None) -> None:
        super().__init__(directory)
        self._passwords = passwords or {}
        self.port, self.controller = free_ports(2)
        self.cluster = _identifier()

    @property
    def bootstrap(self) -> str:
        """Address for clients, as `host:port`."""
        return f"{HOST}:{self.port}"

    def prepare(self) -> Child:
        """Fetch the jars and format the data directory, where that was not done yet."""
        libs = kafka_programs.fetch(CACHE)
        shutil.rmtree(self.directory / "tmp", ignore_errors=True)
        (self.directory / "tmp").mkdir(parents=True)
        (self.directory / "server.properties").write_text(self.properties())
        (self.directory / "log4j.properties").write_text(_read("kafka_log4j.properties"))
        # Relative to the working directory: a class path ends at a colon, a properties file is Latin-1.
        class_path = f".{os.pathsep}{os.path.relpath(libs, self.directory)}/*"
        java = [str(find_java()), *self.memory, *_TRACELESS, "-cp", class_path]
        self._format(java, libs.with_name(_CHECKPOINT))
        return Child(
            "Kafka",
            [*java, "kafka.Kafka", "server.properties"],
            log=self.directory / "kafka.log",
            ready=accepts(self.port),
            cwd=self.directory,
            grace=20,
        )

    def properties(self) -> str:
        """What the broker is told; what stands later in the file wins."""
        properties = _read("kafka.properties")
        if self._passwords:
            properties += _read("kafka_guarded.properties")
        guard = {"admin": ADMIN, "password": self._passwords.get(ADMIN)}
        return properties.format(host=HOST, port=self.port, controller=self.controller, **guard)

    def _format(self, java: list[str], kept: Path) -> None:
        """Formats the data folder, once; the tool writes the same for each broker without users, so that is kept."""
        formatted, data = self.directory / "formatted", self.directory / "data"
        if formatted.is_file():
            return
        if kept.is_file() and not self._passwords:
            data.mkdir(exist_ok=True)
            shutil.copy(kept, data)
            names = {"node.id": self.number, "cluster.id": self.cluster, "directory.id": _identifier(), "version": 1}
            (data / "meta.properties").write_text("".join(f"{name}={value}\n" for name, value in names.items()))
        else:
            self._run_format(java)
            if not self._passwords:
                partial = kept.with_name(f"{kept.name}.{self.cluster}")
                shutil.copy(data / kept.name, partial)
                partial.rename(kept)
        formatted.touch()

    def _run_format(self, java: list[str]) -> None:
        command = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        command += ["-t", self.cluster, "-c", "server.properties"]
        for user, password in self._passwords.items():
            command += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        with (self.directory / "kafka.log").open("ab") as log:
            subprocess.run(command, cwd=self.directory, stdout=log, stderr=log, check=True)


def _identifier() -> str:
    """A new one in the form that Kafka gives its clusters and folders; none begins with a dash."""
    return base64.urlsafe_b64encode(b"\x01" + uuid.uuid4().bytes[1:]).decode().rstrip("=")


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text()
