"""The keys of channels over the API: what they may state and do, how fast, and until when (security review, S3)."""

from datetime import timedelta

import httpx
import pytest

from services.intake import auth
from services.intake.grant import Grant, Power
from shared.domain.rights import Right
from tests.fixtures.intake import PROOF, Intake, id_of
from tests.integration.test_api import is_problem

ONE = "/v1/requests"
SUBJECT = {"email": "ada@example.org", "country": "DE"}
ACCESS = {"right": "access", "subject": SUBJECT}
PROVED = [{"identity": "email", "method": "email_link", "on_file_since": "2024-01-01T00:00:00Z"}]


@pytest.fixture
async def portal(intake: Intake, database: str) -> httpx.AsyncClient:
    """The channel with a key that may ask for access, and state L1."""
    grant = Grant("L1", frozenset({Right.ACCESS}))
    key = await auth.create(database, "channel", "portal", intake.clock.now(), grant)
    intake.channel.headers["Authorization"] = f"Bearer {key}"
    return intake.channel


@pytest.mark.parametrize(
    "submission",
    [
        {**ACCESS, **PROOF},
        {**ACCESS, "right": "erasure"},
        {**ACCESS, "right": "objection", "scope": "direct_marketing"},
    ],
)
async def test_more_than_a_key_may_state_or_ask_for_is_refused_and_stores_nothing(
    intake: Intake, portal: httpx.AsyncClient, submission: dict[str, object]
) -> None:
    answers = [
        await portal.post(ONE, json=submission),
        await portal.post(f"{ONE}/batch", json={"requests": [ACCESS, submission]}),
    ]
    assert all(is_problem(answer, 403, "forbidden") for answer in answers)
    assert all("it may" in answer.json()["detail"] for answer in answers)
    assert await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM request") == 0


async def test_a_key_that_may_state_nothing_cannot_state_that_an_address_was_proved(
    intake: Intake, database: str
) -> None:
    key = await auth.create(database, "channel", "portal", intake.clock.now())
    submission = {**ACCESS, "proofs": PROVED}
    answer = await intake.channel.post(ONE, json=submission, headers={"Authorization": f"Bearer {key}"})
    assert is_problem(answer, 403, "forbidden")


async def test_a_proof_that_comes_later_is_bounded_as_well(intake: Intake, portal: httpx.AsyncClient) -> None:
    path = await intake.submit(assurance=None)
    assert is_problem(await portal.post(f"{path}/verify", json=PROOF), 403, "forbidden")
    assert (await intake.view(path))["state"] == "awaiting_identity"


async def test_who_submits_fetches_no_package_and_who_fetches_it_submits_nothing(
    intake: Intake, portal: httpx.AsyncClient, database: str
) -> None:
    path = await intake.submit(assurance=None)
    submitting = intake.channel.headers["Authorization"].split("_")[1]
    changed = {"powers": [Power.FETCH]}
    fetching = await auth.replace(database, submitting, intake.clock.now(), **changed)
    assert is_problem(await portal.get(f"{path}/package"), 403, "forbidden")
    portal.headers["Authorization"] = f"Bearer {fetching}"
    assert (await portal.get(path)).json()["request_id"] == id_of(path)
    assert is_problem(await portal.get(f"{path}/package"), 409, "not_ready")
    assert is_problem(await portal.post(ONE, json=ACCESS), 403, "forbidden")
    assert is_problem(await portal.post(f"{path}/withdraw"), 403, "forbidden")


async def test_a_key_that_has_expired_is_no_key(intake: Intake, database: str) -> None:
    now = intake.clock.now()
    key = await auth.create(database, "channel", "portal", now, Grant(), now + timedelta(days=1))
    headers = {"Authorization": f"Bearer {key}"}
    assert (await intake.channel.post(ONE, json=ACCESS, headers=headers)).status_code == 201
    intake.clock.at = now + timedelta(days=1)
    other = await auth.create(database, "channel", "portal", now, Grant(), now + timedelta(days=1))
    answer = await intake.channel.post(ONE, json=ACCESS, headers={"Authorization": f"Bearer {other}"})
    assert is_problem(answer, 401, "unauthorised")


async def test_a_key_submits_no_more_in_a_minute_than_it_may(intake: Intake, database: str) -> None:
    key = await auth.create(database, "channel", "portal", intake.clock.now(), Grant(per_minute=2))
    intake.channel.headers["Authorization"] = f"Bearer {key}"
    batch = {"requests": [ACCESS] * 3}
    assert is_problem(await intake.channel.post(f"{ONE}/batch", json=batch), 413, "too_large")
    answers = [await intake.channel.post(ONE, json=ACCESS) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
