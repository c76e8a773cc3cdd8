"""A request that nobody answers in time is warned of, and brought before the privacy team in ticketing."""

from pathlib import Path

from deploy.local.platform import Platform
from tests.fixtures import stores
from tests.fixtures.roundup import PASSWORD_ENV, Harness
from tests.fixtures.stack import stack
from tests.fixtures.stores import Subject

TICKETING = """
[ticketing]
adapter = "roundup"
url = "{url}"
password_env = "{password_env}"
needs = ["email"]
"""


async def test_an_overdue_request_is_shown_as_such_and_has_one_ticket_until_it_is_answered(
    harness: Harness, run_folder: Path
) -> None:
    with Platform(run_folder / "overdue" / "platform") as platform:
        seeded = await stores.seed(platform, "seed", 2)
        copied = await stores.copy(platform, seeded, "run", run_folder / "overdue" / "stores")
        with copied.downstreams.open("a") as file:
            file.write(TICKETING.format(url=harness.roundup.url, password_env=PASSWORD_ENV))
        env = {**copied.env, PASSWORD_ENV: harness.roundup.password}
        async with stack(platform, copied.downstreams, env, run_folder / "overdue") as running:
            forgotten = {**Subject(0).submission("access"), "assurance": None, "received_at": "2026-01-05T10:00:00Z"}
            in_time = {**Subject(1).submission("access"), "assurance": None}
            late = await running.client.submit(forgotten)
            early = await running.client.submit(in_time)
            view = await running.client.follow(late, lambda view: view["warning"] == "overdue_statutory")
            await running.client.follow(late, lambda _: bool(harness.tickets_about(late)))
            other = await running.client.follow(early, "awaiting_identity")
            (await running.client.post(f"/v1/requests/{late}/withdraw")).raise_for_status()
            await running.client.follow(late, lambda _: harness.is_resolved(harness.tickets_about(late)[0]))

    assert view["due_on"] == "2026-02-04"
    assert len(harness.tickets_about(late)) == 1
    assert other["warning"] is None
    assert harness.tickets_about(early) == []
