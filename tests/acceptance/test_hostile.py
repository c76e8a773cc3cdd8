"""Hostile input at each door, and what a key may not do."""

from tests.acceptance.client import Door
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import scenario
from tests.fixtures.live import eventually

NOBODY = {"right": "erasure", "subject": {"email": "hostile@example.org"}}


@scenario()
async def test_wrong_secret_and_revoked_key_open_nothing(platform: Platform) -> None:
    """A known key with another secret, and one that was revoked, get 401 and submit nothing."""
    async with platform.door("channel") as door:
        case = await door.ask(platform.somebody().submission("access", proved=False))
        forged = door.key[:-4] + ("aaaa" if not door.key.endswith("aaaa") else "bbbb")
        async with Door(platform.services.url, forged) as thief:
            assert (await thief.refused(NOBODY)).status_code == 401
        await platform.command("api-key", "revoke", door.key.split("_")[1])
        await eventually(lambda: door.is_shut(case.request_id), within=60)  # a key is believed for ten seconds
        assert (await door.refused(NOBODY)).status_code == 401
    view = await case.seen_by(platform.officer).view()
    assert view["state"] == "awaiting_identity"


@scenario()
async def test_channel_states_no_more_than_its_key_was_made_for(platform: Platform) -> None:
    """A key made to submit erasures at L1 states no L2, asks for no copy, fetches no package and checks no address."""
    person = platform.somebody()
    made = ("--level", "L1", "--right", "erasure", "--may", "submit")
    key = (await platform.command("api-key", "new", "--role", "channel", "--holder", "small", *made)).strip()
    async with Door(platform.services.url, key) as door:
        assert (await door.refused(person.submission("erasure", "email"))).status_code == 403
        assert (await door.refused(person.submission("access", "email", proved=False))).status_code == 403
        case = await door.ask(person.submission("erasure", "email", proved=False))
        assert await door.status_of(case.request_id, "/package") == 403
        assert (await door.checked(person.email)).status_code == 403
    assert (await case.seen_by(platform.officer).view())["right"] == "erasure"
