"""A request that nobody answers in time is warned of, and brought before the privacy team in ticketing."""

from pathlib import Path

from deploy.local.platform import Platform
from tests.fixtures.live import LONG_AGO, move
from tests.fixtures.roundup import PASSWORD_ENV, Ticketing
from tests.fixtures.stack import seeded_stack
from tests.fixtures.stores import Subject

TICKETING = """
[ticketing]
adapter = "roundup"
url = "{url}"
password_env = "{password_env}"
needs = ["email"]
"""


async def test_an_overdue_request_is_shown_as_such_and_has_one_ticket_until_it_is_answered(
    ticketing: Ticketing, platform: Platform, run_folder: Path
) -> None:
    declared = TICKETING.format(url=ticketing.roundup.url, password_env=PASSWORD_ENV)
    env = {PASSWORD_ENV: ticketing.roundup.password}
    async with seeded_stack(platform, run_folder / "overdue", 2, declared, env) as running:
        late = await running.client.submit(Subject(0).submission("access", assurance=None, received_at=LONG_AGO))
        early = await running.client.submit(Subject(1).submission("access", assurance=None))
        view = await running.client.follow(late, lambda view: view["warning"] == "overdue_statutory")
        await running.client.follow(late, lambda _: bool(ticketing.tickets_about(late)))
        other = await running.client.follow(early, "awaiting_identity")
        await move(running.client, late, "withdraw")
        await running.client.follow(late, lambda _: ticketing.is_resolved(ticketing.tickets_about(late)[0]))

    assert view["due_on"] == "2026-02-04"
    assert len(ticketing.tickets_about(late)) == 1
    assert other["warning"] is None
    assert ticketing.tickets_about(early) == []
