"""A team on the bus with a store of its own, which answers or is silent."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.bus_stand import BusStand
from tests.contract.one_resource import ask
from tests.contract.silent_team import AGREED, Silent
from tests.fakes.bus_responder import Billing
from tests.fixtures.engine import SetClock

__all__ = ["ask"]


@pytest.fixture
async def store() -> AsyncIterator[Billing]:
    billing = Billing(":memory:")
    yield billing
    billing.close()


@pytest.fixture
def stand(store: Billing) -> BusStand:
    """The team, answering."""
    return BusStand(store, SetClock())


@pytest.fixture
def silent(store: Billing) -> Silent:
    """The team, for which the test answers."""
    return Silent(store, SetClock(), AGREED)
