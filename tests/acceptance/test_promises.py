"""The promises of the README and of the design that no pair of right and system shows."""

import httpx

from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import scenario


@scenario()
async def test_restriction_is_lifted_after_the_person_was_told(platform: Platform) -> None:
    """A restriction is set, and is lifted by an officer once the person was informed (Art. 18(3))."""
    person = platform.somebody()
    await platform.shop.hold(person)
    case = await platform.ask(person, "restriction")
    await case.closed()
    assert (await platform.shop.held(person)).restricted is True
    officer = case.seen_by(platform.officer)
    await officer.act("lift")
    actions = await officer.actions("restriction.lift_completed")
    assert (await platform.shop.held(person)).restricted is False
    letters = [each["kind"] for each in await officer.letters()]
    assert letters.count("lifting") == 1
    assert actions.index("restriction.lift_completed") > actions.index("letter.written")


@scenario()
async def test_each_service_is_alive_and_ready(platform: Platform) -> None:
    """Each of the five services answers its probes, and ``dsr`` finds the audit log whole."""
    async with httpx.AsyncClient(timeout=60) as client:
        for url in platform.urls.values():
            assert [(await client.get(url + path)).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    status, printed = await platform.dsr("evidence", "verify")
    assert status == 0, printed
