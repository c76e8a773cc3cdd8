"""The third platform has the rights of the manifests and no others; what its scenarios show is shown with these."""

from tests.acceptance.client import RIGHTS
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import TIMED, scenario
from tests.fixtures.confined import Confined


@scenario(on=TIMED, rows=[*RIGHTS])
async def test_each_right_is_fulfilled_with_the_rights_of_the_manifests(platform: Platform, right: str) -> None:
    """No service needs more at the broker or in the database than the manifests give it."""
    person = platform.somebody()
    await platform.shop.hold(person)
    view = await (await platform.ask(person, right)).closed()
    assert view["outcome"] == "fulfilled"


@scenario(on=TIMED)
async def test_each_service_is_connected_as_itself(platform: Platform) -> None:
    """The database knows each service by a role of its own."""
    assert isinstance(platform.broker, Confined)
    services = {str(name) for name in platform.services.children}
    assert await platform.broker.connected() == {(f"dsr-{name}", f"dsr_{name}") for name in services}
