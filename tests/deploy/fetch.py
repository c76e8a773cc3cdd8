"""Fetches what the tests of the deployment run, side by side: `make test-deploy` does so in the background of them."""

from deploy.k8s import check, schemas
from deploy.local import debian, kafka_jars
from deploy.local.chromium import Chromium
from deploy.local.debian import Bundle
from deploy.local.paths import CACHE, LOCAL
from deploy.local.progress import Progress
from deploy.local.roundup import install as roundup
from deploy.local.server import side_by_side
from deploy.local.tryton import install as tryton
from deploy.local.unprivileged import become_unprivileged
from tests.fixtures import django
from tests.fixtures.prometheus import find_prometheus


def _demonstration() -> None:
    tryton.install()
    roundup.prepare(LOCAL / "roundup")


def _packages(*bundles: Bundle) -> None:
    for bundle in bundles:
        bundle.unpacked()


def _programs() -> None:
    """Debian's packages, in the order in which the tests ask for them."""
    _packages(debian.IMAGE_PROGRAMS)
    find_prometheus()
    _packages(debian.REQUEST_TRACKER, debian.MAIL_SERVERS, debian.MARIADB)
    if not Chromium.found():
        _packages(debian.CHROMIUM)


def _cluster() -> None:
    schemas.prepare(check.programs())
    django.programs()


if __name__ == "__main__":
    become_unprivileged()
    side_by_side(lambda: kafka_jars.fetch(CACHE, Progress()), _demonstration, _programs, _cluster)
