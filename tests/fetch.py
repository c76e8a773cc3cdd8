"""Fetches what the tests run next to our own packages: `make test` and `make test-deploy` do so in the background."""

import sys

from deploy.k8s import check, schemas
from deploy.local import kafka, roundup, tryton
from deploy.local.paths import CACHE, LOCAL
from deploy.local.server import side_by_side
from deploy.local.unprivileged import become_unprivileged
from tests.fixtures import debian, django
from tests.fixtures.chromium import Chromium
from tests.fixtures.prometheus import find_prometheus


def _systems() -> None:
    debian.MARIADB.unpacked()
    tryton.install()
    roundup.prepare(LOCAL / "roundup")


def _programs() -> None:
    """Debian's packages, in the order in which the tests ask for them."""
    debian.IMAGE_PROGRAMS.unpacked()
    find_prometheus()
    debian.REQUEST_TRACKER.unpacked()
    debian.MAIL_SERVERS.unpacked()
    if not Chromium.installed():
        debian.CHROMIUM.unpacked()


def _cluster() -> None:
    schemas.prepare(check.programs())
    django.programs()


if __name__ == "__main__":
    become_unprivileged()
    of_deploy = (_programs, _cluster) if "deploy" in sys.argv else ()
    side_by_side(lambda: kafka.fetch(CACHE), _systems, *of_deploy)
