"""Who is let into the console, by what the identity provider says, and what else a browser comes back with."""

from datetime import timedelta

import orjson
import pytest

from tests.fixtures.console import OpenedConsole
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.portal import opened


async def test_whoever_has_signed_in_comes_to_the_page_that_they_asked_for(console: OpenedConsole) -> None:
    path = await console.intake.submit()
    visitor = await console.visitor().open(f"/console/requests/{id_of(path)}")
    assert (visitor.path, visitor.status) == ("/console/sign-in", 200)
    before = visitor.client.cookies.get("__Host-dsr-console")
    await console.sign_in(visitor, "hanna")
    assert (visitor.path, visitor.status) == (f"/console/requests/{id_of(path)}", 200)
    assert visitor.client.cookies.get("__Host-dsr-console") not in {before, None}
    [viewed] = await console.intake.details(path, "request.viewed")
    assert viewed == {"holder": "hanna"}
    await visitor.open("/console/me")
    await visitor.send("/console/sign-out", where="here")
    assert (await visitor.open("/console/")).path == "/console/sign-in"


async def test_an_answer_is_good_once_and_for_the_browser_that_asked(console: OpenedConsole) -> None:
    hanna, eve = console.visitor(), console.visitor()
    back = await console.way_back(hanna, "hanna")
    await eve.client.get("/console/sign-in/begin")
    assert (await eve.open(back)).status == 403
    back = await console.way_back(hanna, "hanna")
    assert (await hanna.open(back.replace("state=", "state=x"))).status == 403
    assert (await hanna.open(back)).status == 403, "the question was used up"
    back = await console.way_back(hanna, "hanna")
    assert (await hanna.open(back)).status == 200
    assert (await hanna.open(back)).status == 403


async def test_who_has_no_second_factor_or_no_role_is_told_so_and_not_let_in(console: OpenedConsole) -> None:
    for account, form, said in (("hanna", {"once": "yes"}, "second factor"), ("nemo", {}, "roles:")):
        visitor = await console.sign_in(console.visitor(), account, **form)
        assert visitor.status == 403
        assert said in visitor.text
        assert (await visitor.open("/console/")).path == "/console/sign-in"


async def test_a_token_signed_by_another_key_lets_nobody_in(console: OpenedConsole) -> None:
    visitor = console.visitor()
    await console.member("hanna")  # whose key is known from now on
    other = type(console.provider)(console.provider.issuer, console.url).key
    console.provider.key, known = other, console.provider.key
    assert other.kid == known.kid
    assert (await console.sign_in(visitor, "hanna")).status == 403
    console.provider.key = type(other).generate_key("P-256", {"kid": "two"})
    assert (await console.sign_in(visitor, "hanna")).status == 200, "a new key is asked for by its name"


async def test_a_code_that_is_exchanged_with_another_verifier_gives_no_token(console: OpenedConsole) -> None:
    visitor = console.visitor()
    back = await console.way_back(visitor, "hanna")
    for asked in console.provider.codes.values():
        asked["code_challenge"] = "x" * 43
    assert (await visitor.open(back)).status == 403


async def test_with_the_provider_away_the_console_says_so_and_the_portal_works(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR_CONSOLE_ISSUER", "http://127.0.0.1:1")
    async with opened(intake, monkeypatch) as both:
        visitor = both.visitor()
        await visitor.open("/console/sign-in/begin")
        assert visitor.status == 503
        assert "identity provider cannot be reached" in visitor.text
        assert (await visitor.open("/portal/en/")).status == 200


async def test_a_session_ends_and_takes_its_roles_with_it(console: OpenedConsole) -> None:
    hanna = await console.member("hanna")
    page = await hanna.open("/console/me")
    console.intake.clock.at += timedelta(minutes=31)
    await page.send("/console/sign-out", where="here")
    assert (await hanna.open("/console/")).path == "/console/sign-in"


@pytest.mark.parametrize("changed", [{"sub": "another"}, {"preferred_username": "anton"}])
async def test_a_name_stays_bound_to_the_account_that_first_signed_in_with_it(
    console: OpenedConsole, changed: dict[str, str]
) -> None:
    await console.member("hanna")
    console.provider.changed = changed
    eve = await console.sign_in(console.visitor(), "hanna")
    assert (eve.status, "bound to another account or name" in eve.text) == (403, True)
    assert (await eve.open("/console/")).path == "/console/sign-in"
    console.provider.changed = {}
    assert (await console.sign_in(eve, "hanna")).status == 200


async def test_each_sign_in_and_sign_out_is_on_record_without_any_secret(console: OpenedConsole) -> None:
    hanna, elsewhere = await console.member("hanna"), await console.member("hanna")
    await (await hanna.open("/console/me")).send("/console/sign-out", where="everywhere")
    assert (await elsewhere.open("/console/")).path == "/console/sign-in"
    rows = "SELECT actor, action, detail FROM evidence.entry WHERE action LIKE 'console.%' ORDER BY seq"
    entries = [tuple(row) for row in await console.intake.unit_of_work.pool.fetch(rows)]
    assert [(actor, action) for actor, action, _ in entries] == [
        *[("person:hanna", "console.signed_in")] * 2,
        ("person:hanna", "console.signed_out"),
    ]
    details = [orjson.loads(detail) for *_, detail in entries]
    assert details[0] == {"holder": "hanna", "roles": ["handler"], "from": "127.0.0.1"}, "and no secret"
    assert details[2] == {"holder": "hanna", "where": "everywhere"}
