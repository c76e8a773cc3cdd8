"""Runs Chromium headless and offline: the one on the PATH, else one unpacked below ``.local/``."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.local.paths import CACHE

UNPACKED = CACHE / "chromium"
"""Where the tests unpack Debian's."""
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 120


class ChromiumFailedError(RuntimeError):
    """It could not draw a page; the message says how it ended."""


@dataclass(frozen=True, slots=True)
class Chromium:
    """A program, and the variables that it needs."""

    program: Path
    env: Mapping[str, str]

    @classmethod
    def found(cls) -> Self | None:
        """Returns the installed Chromium, else the unpacked one, else None."""
        installed = next(filter(None, map(shutil.which, _NAMES)), None)
        if installed:
            return cls(Path(installed), {})
        chromium = cls.unpacked(UNPACKED)
        return chromium if chromium.program.exists() else None

    @classmethod
    def unpacked(cls, root: Path) -> Self:
        """Returns Debian's Chromium unpacked below ``root``, which has just the libraries that the machine lacks."""
        program = root / "usr" / "lib" / "chromium"
        libraries = [path for lib in (root / "usr" / "lib").glob("*-linux-gnu") for path in (lib, lib / "pulseaudio")]
        env = {"LD_LIBRARY_PATH": os.pathsep.join(map(str, (*libraries, program)))}
        fonts = root / "etc" / "fonts"
        return cls(program / "chromium", {**env, "FONTCONFIG_PATH": str(fonts)} if fonts.is_dir() else env)

    def look(self, page: Path, *words: str) -> None:
        """Opens a page of this machine, and does what the words say.

        Raises:
            ChromiumFailedError: it has failed, or takes too long.
        """
        profile = page.parent / "chromium"
        alone = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
        apart = (f"--user-data-dir={profile}", "--proxy-server=http://127.0.0.1:9")
        environment = {"PATH": os.defpath, "HOME": str(page.parent), **self.env}
        command = [str(self.program), *alone, *apart, *words, page.as_uri()]
        try:
            subprocess.run(command, env=environment, check=True, capture_output=True, timeout=_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            raise ChromiumFailedError(f"{error}") from error
        finally:
            shutil.rmtree(profile, ignore_errors=True)
