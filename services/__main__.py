"""``python -m services NAME`` runs the service of that name: one image, and the argument picks what it is."""

import runpy
import sys

from shared.domain.topics import ServiceName

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in {*ServiceName}:  # noqa: PLR2004  # the program and the name
        sys.exit(f"usage: python -m services {{{','.join(ServiceName)}}}")
    runpy.run_module(f"services.{sys.argv[1]}", run_name="__main__", alter_sys=True)
