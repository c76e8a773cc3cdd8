"""What these tests may ask for besides: the manifests as a cluster would get them."""

import pytest

from deploy.k8s_render import OVERLAYS, Object, render
from deploy.k8s_schemas import Tools, prepare


@pytest.fixture(scope="session")
def tools() -> Tools:
    """What renders and checks manifests."""
    return prepare()


@pytest.fixture(scope="session", params=OVERLAYS)
def objects(request: pytest.FixtureRequest, tools: Tools) -> list[Object]:
    """The objects of each overlay in turn."""
    return render(request.param, tools)


@pytest.fixture(scope="session")
def production(tools: Tools) -> list[Object]:
    """The objects of the overlay that has everything."""
    return render("production", tools)
