"""buildah and mmdebstrap: the machine's own, or out of Debian's packages, which whoever runs them alone can see.

buildah starts itself anew without our variables, so its libraries must be where a loader looks for them; a mount
namespace of its own puts them there, and nobody else sees them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.local import debian
from deploy.local.paths import CACHE
from deploy.local.progress import Progress

_TAIL = 20
PROGRAMS = ("buildah", "mmdebstrap")
_OVERLAY = """\
set -e
here=$PWD
cd "$1"
shift
mount -t overlay packages -o lowerdir=usr:/usr /usr
mount -t overlay packages -o lowerdir=etc:/etc /etc
cd "$here"
exec "$@"
"""


class ImageBuildError(RuntimeError):
    """The image could not be built, or what builds it could not be had; the message says why."""


@dataclass(frozen=True)
class ImagePrograms:
    """The words in front of a command by which it finds both programs, in a mount namespace that ends with it."""

    prefix: tuple[str | Path, ...] = ("unshare", "--mount")

    def run(self, *command: str | Path) -> None:
        """Run a command to its end; raises ``ImageBuildError`` with the end of what it said."""
        environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        ran = subprocess.run([*self.prefix, *command], env=environment, capture_output=True, text=True, check=False)
        if ran.returncode:
            said = "\n".join([*ran.stdout.splitlines()[-_TAIL:], *ran.stderr.splitlines()[-_TAIL:]])
            raise ImageBuildError(f"{command[0]} ended with status {ran.returncode}:\n{said}")


def find_image_programs(progress: Progress | None = None, cache: Path = CACHE) -> ImagePrograms:
    """Both programs; fetches them once, and what was cut short does not count."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise ImageBuildError(
            "without a container engine an image is built by root on Linux alone: test as root, on Debian"
        )
    if all(map(shutil.which, PROGRAMS)):
        return ImagePrograms()
    kept = cache / "image-programs"
    found = ImagePrograms((*ImagePrograms.prefix, "sh", "-c", _OVERLAY, "sh", kept))
    if not kept.is_dir():
        with debian.alone(cache), (progress or Progress()).step("Fetching buildah and mmdebstrap"):
            if not kept.is_dir():  # somebody else was faster
                _fetch(kept)
    for name in PROGRAMS:
        found.run(name, "--version")
    return found


def _fetch(kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as workplace:
        archives, root = Path(workplace, "archives"), Path(workplace, "root")
        archives.mkdir()
        try:
            debian.unpack(debian.download_missing(PROGRAMS, archives), root)
        except debian.PackageMissingError as error:
            message = f"{error}: install {' and '.join(PROGRAMS)} on the PATH"
            raise ImageBuildError(message) from error
        (root / "etc").mkdir(exist_ok=True)
        root.rename(kept)
