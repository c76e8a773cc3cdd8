"""The product's image, built without a container engine: a base like the Dockerfile's, then the Dockerfile itself."""

import ast
import hashlib
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local import debian
from deploy.local.image_programs import ImagePrograms, find_image_programs
from deploy.local.paths import CACHE, ROOT
from deploy.local.progress import Progress

DOCKERFILE = ROOT / "Dockerfile"
_BASE = re.compile(r"^ARG BASE=python:(?P<python>[\d.]+)-slim-(?P<release>[a-z]+)$", re.MULTILINE)
_SLIM = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
_TAG = "localhost/dsr"
_MAKE_BASE = """\
set -e
mount -t tmpfs store "$1"
TMPDIR=$1
shift
export TMPDIR
exec mmdebstrap "$@"
"""
# Each step copies all files of the one before (vfs: what needs no help of the kernel's), so the store lies in memory.
# Without `--format docker` there is no health command in the image.
_BUILD = """\
set -e
directory=$1 base=$2 tag=$3 context=$4
shift 4
cd "$directory"
mount -t tmpfs store store
export TMPDIR="$directory/store"
image() {
    buildah --storage-driver vfs --root "$TMPDIR/graph" --runroot "$TMPDIR/run" "$@"
}
container=$(image from scratch)
image add --quiet "$container" "$base" /
image commit --quiet --rm "$container" "$tag-base"
image build --format docker --network host --pull-never --tag "$tag" "$@" "$context"
image inspect --type image "$tag" > image.json
cp -a "$(image mount "$(image from --pull-never "$tag")")" root
"""
_AUTHORITIES = "/run/secrets/ca.pem"
_INDEX = ("index-url", "extra-index-url", "trusted-host", "proxy", "retries", "timeout", "default-timeout")
"""What of pip's settings says where packages come from, and nothing about this machine's folders."""


@dataclass(frozen=True)
class Image:
    """A built image, unpacked: its files below ``root``, and what it says of how it is run."""

    root: Path
    entrypoint: tuple[str, ...]
    health: tuple[str, ...]
    environment: Mapping[str, str]
    user: str
    workdir: str
    labels: Mapping[str, str]
    stop_signal: str


@dataclass(frozen=True)
class Base:
    """What the Dockerfile's base is made of: a release of Debian, and its version of Python."""

    release: str
    python: str

    @classmethod
    def of_dockerfile(cls) -> "Base":
        """The base that the Dockerfile names; raises where it is no slim Python on a release of Debian."""
        named = _BASE.search(DOCKERFILE.read_text())
        if named is None:
            message = f"the Dockerfile's base is not python:VERSION-slim-RELEASE: {DOCKERFILE}"
            raise ValueError(message)
        return cls(named["release"], named["python"])


class Builder:
    """Builds below ``directory``, which its caller removes; the base is kept in the cache for the next time."""

    def __init__(self, directory: Path, progress: Progress | None = None, cache: Path = CACHE) -> None:
        self._directory = directory
        self._progress = progress or Progress()
        self._cache = cache

    def build(self, version: str, revision: str) -> Image:
        """Build the image, whose labels say its version and revision; raises ``ImageBuildError``."""
        programs = find_image_programs(self._progress, self._cache)
        (self._directory / "store").mkdir(parents=True)
        base = self._base(Base.of_dockerfile(), programs)
        arguments = {"BASE": f"{_TAG}-base", "VERSION": version, "REVISION": revision}
        words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        words += [word for name, path in self._secrets().items() for word in ("--secret", f"id={name},src={path}")]
        with self._progress.step("Building the image"):
            programs.run("sh", "-c", _BUILD, "sh", self._directory, base, _TAG, ROOT, *words)
        return self._unpacked()

    def _base(self, base: Base, programs: ImagePrograms) -> Path:
        """The base as an archive of files, made by Debian's own installer from the mirror that this machine uses."""
        mirror = debian.mirrors()[:1]
        options = ["--mode=root", "--variant=minbase", "--include=python3,python3-venv", "--dpkgopt=force-unsafe-io"]
        options += [f"--dpkgopt=path-exclude={path}" for path in _SLIM]
        made_of = hashlib.sha256(json.dumps([base.release, options, mirror]).encode()).hexdigest()[:16]
        kept = self._cache / f"image-base-{made_of}.tar"
        if not kept.is_file():
            with self._progress.step(f"Making a base of Debian {base.release}"):
                partial = self._directory / "base.tar"
                words = ("sh", "-c", _MAKE_BASE, "sh", self._directory / "store")
                programs.run(*words, *options, base.release, partial, *mirror)
                partial.rename(kept)
        return kept

    def _secrets(self) -> dict[str, Path]:
        """This machine's ways to its package index, which the build sees and the image does not."""
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        settings: dict[str, str] = {}
        for line in sorted(listed, key=lambda line: line.startswith(":env:")):  # variables win
            name, _, value = line.partition("=")
            settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
        authorities = settings.get("cert") or ssl.get_default_verify_paths().cafile
        lines = ["[global]", *(f"{name} = {settings[name]}" for name in _INDEX if name in settings)]
        secrets = {"pip.conf": self._directory / "pip.conf"}
        if authorities:
            secrets["ca.pem"] = Path(authorities)
            lines.append(f"cert = {_AUTHORITIES}")
        secrets["pip.conf"].touch(mode=0o600)
        secrets["pip.conf"].write_text("\n".join(lines) + "\n")
        return secrets

    def _unpacked(self) -> Image:
        config = json.loads((self._directory / "image.json").read_text())["Docker"]["config"]
        return Image(
            root=self._directory / "root",
            entrypoint=tuple(config["Entrypoint"]),
            health=tuple(config["Healthcheck"]["Test"][1:]),
            environment=dict(variable.split("=", 1) for variable in config["Env"]),
            user=config["User"],
            workdir=config["WorkingDir"],
            labels=config["Labels"],
            stop_signal=config["StopSignal"],
        )
