"""The third platform has the rights of the manifests and no others; what its scenarios show is shown with these."""

from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import TIMED, scenario
from tests.fixtures.confined import Confined


@scenario(on=TIMED)
async def test_services_need_no_more_than_the_rights_of_the_manifests(platform: Platform) -> None:
    """A withdrawal of consent, the one right that no other scenario here asks; each service has its own role."""
    person = platform.new_person()
    await platform.shop.hold(person)
    case = await platform.ask(person, "consent_withdrawal")
    assert (await case.closed())["outcome"] == "fulfilled"
    assert isinstance(platform.broker, Confined)
    services = {str(name) for name in platform.services.children}
    assert await platform.broker.connected() == {(f"dsr-{name}", f"dsr_{name}") for name in services}
