"""Further fixtures: the manifests as a cluster would get them."""

import pytest
import yaml

from deploy.k8s.check import OVERLAYS, Object, kustomize, programs
from deploy.k8s.schemas import K8S, Schemas, prepare
from tests.fixtures.intake import intake
from tests.fixtures.mariadb_shop import server, shop, system
from tests.fixtures.open_engine import clock

__all__ = ["clock", "intake", "server", "shop", "system"]


def render(overlay: str) -> list[Object]:
    return [each for each in yaml.safe_load_all(kustomize(K8S / "overlays" / overlay)) if each]


@pytest.fixture(scope="session")
def schemas() -> Schemas:
    """Returns the schemas of all objects."""
    return prepare(programs())


@pytest.fixture(scope="session", params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    """The objects of each overlay in turn."""
    return render(request.param)


@pytest.fixture(scope="session")
def production() -> list[Object]:
    """The objects of the overlay that has everything."""
    return render("production")
