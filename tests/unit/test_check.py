"""``dsr downstreams check``: every mistake at once, with its line and the mend, and nobody else's secrets needed."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.up.start import _mistakes
from shared.domain.clock import SystemClock
from shared.domain.emitters import EMITTERS
from shared.domain.errors import Misconfigured
from shared.domain.toml_places import line_of, lines_of
from shared.downstreams.check import Checked, against_policy, check, demanding, emitters_beside, working
from shared.downstreams.commands import lines_of as words_of
from shared.downstreams.commands import report
from shared.downstreams.http.adapter import HttpAdapter
from shared.downstreams.registry import Wiring
from tests.unit.test_registry import DEMO, publish

WRONG = """\
[orders]
adapter = "sql"
dsn_env = "DSR_ORDERS_DSN"
dataset = "orders.toml"
needs = ["mail"]
max_row = 5

[shop]
adapter = "sql"
dsn_env = "DSR_SHOP_DSN"
dataset = "orders.toml"
needs = ["phone"]

[helpdesk]
adapter = "http"
url = "${HELPDESK_URL}"
declaration = "zendesk"
needs = ["email"]
yields = ["phone"]
"""
ORDERS = """\
name = "orders"

[tables.customer_order]
category = "order"
primary_key = ["id"]
colour = "red"

[tables.customer_order.columns]
id = { class = "T" }
email = { class = "Z", identity = "email" }
goods = { class = "M", partty = "x" }
"""


def checked(folder: Path, text: str = WRONG, dataset: str = ORDERS, **environment: str) -> Sequence[Checked]:
    (folder / "orders.toml").write_text(dataset)
    (folder / "downstreams.toml").write_text(text)
    wiring = Wiring(environment, SystemClock(), publish, b"")
    return asyncio.run(check(folder / "downstreams.toml", wiring, live=False))


def test_every_mistake_of_every_file_is_told_at_once_with_its_line_and_what_to_write(tmp_path: Path) -> None:
    orders, shop, helpdesk = checked(tmp_path)
    assert [(each.line, each.place, each.says) for each in orders.faults[:2]] == [
        (5, "[orders]", "needs.0: Input should be 'email', 'phone', 'account_id', 'sip_uri', 'client_id' or 'name'"),
        (6, "[orders]", "max_row is not a key here; write max_rows"),
    ]
    assert [(Path(each.file).name, each.line, each.place, each.says) for each in shop.faults] == [
        (
            "orders.toml",
            10,
            "tables.customer_order.columns.email.class",
            "holds 'Z': Input should be 'A', 'B', 'M', 'C' or 'T'",
        ),
        ("orders.toml", 11, "tables.customer_order.columns.goods.partty", "is no key here; write party"),
        ("orders.toml", 6, "tables.customer_order.colour", "is no key here; write columns"),
    ]
    assert [each.line for each in orders.faults[2:]] == [10, 11, 6]
    assert helpdesk.faults == ()


def test_a_system_whose_variables_are_not_set_is_checked_by_its_file_and_said_to_be_so(tmp_path: Path) -> None:
    *_, helpdesk = checked(tmp_path)
    assert helpdesk.unset == ("HELPDESK_URL", "ZENDESK_USER", "ZENDESK_TOKEN")
    lines = words_of(report([helpdesk]))
    assert lines[1] == "  checked by the file alone: HELPDESK_URL, ZENDESK_USER, ZENDESK_TOKEN not set"
    assert [each.says.partition(",")[0] for each in demanding(helpdesk).faults] == [
        "export HELPDESK_URL",
        "export ZENDESK_USER",
        "export ZENDESK_TOKEN",
    ]


def test_a_system_of_which_a_secret_is_not_set_is_never_asked_with_something_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def inspect(_: HttpAdapter) -> Sequence[str]:
        return ["it was asked"]

    monkeypatch.setattr(HttpAdapter, "inspect", inspect)
    (tmp_path / "d.toml").write_text(WRONG[WRONG.index("[helpdesk]") :])
    secrets = {"HELPDESK_URL": "http://127.0.0.1:9", "ZENDESK_USER": "us"}
    found = [
        asyncio.run(check(tmp_path / "d.toml", Wiring(known, SystemClock(), publish, b"")))[0]
        for known in (secrets, {**secrets, "ZENDESK_TOKEN": "secret"})
    ]
    assert [(each.looked, [fault.says for fault in each.faults]) for each in found] == [
        (False, []),
        (True, ["it was asked"]),
    ]


def test_what_a_dataset_searches_by_and_the_table_does_not_name_is_told_with_the_tables_line(tmp_path: Path) -> None:
    right = ORDERS.replace('colour = "red"\n', "").replace('"Z"', '"A"').replace(', partty = "x"', "")
    _, shop, _ = checked(tmp_path, dataset=right)
    assert [(each.line, each.says.partition(",")[0]) for each in shop.faults] == [(12, "needs lacks email")]


def test_the_file_that_ships_is_right_without_a_single_secret() -> None:
    found = asyncio.run(check(DEMO, Wiring({}, SystemClock(), publish, b""), live=False))
    assert [each.name for each in found if each.faults] == []
    assert [each.name for each in working(found).all] == ["crm", "cdr", "analytics", "ticketing"]
    said = report(found)
    assert said["erasure"] == [
        ["locate crm"],
        ["plan crm"],
        ["plan cdr"],
        ["erase cdr", "erase analytics", "erase ticketing"],
        ["erase crm"],
    ]


@pytest.mark.parametrize("told", [False, True])
def test_a_store_of_what_is_kept_while_a_state_lasts_that_nobody_tells_is_named_with_what_to_declare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    state = 'refuse_when = [{ column = "contract", in = ["yes"], reason = "active_contract" }]' if told else ""
    dataset = (
        f'name = "orders"\n[tables.customer]\ncategory = "customer"\nprimary_key = ["id"]\n{state}\n'
        '[tables.customer.columns]\nid = { class = "A", identity = "account_id", yields = true }\n'
        'contract = { class = "M" }\n'
    )
    table = WRONG[WRONG.index("[shop]") : WRONG.index("[helpdesk]")].replace('["phone"]', '["account_id"]')
    (shop,) = checked(tmp_path, table, dataset)
    said = "holds what the policy keeps while contract_active"
    assert [each.says.partition(",")[0] for each in shop.by_person] == ([] if told else [said])
    if not told:
        assert 'declare refuse_when with reason = "active_contract" on a table' in shop.by_person[0].says
    assert not shop.faults, "the platform works with it all the same"
    monkeypatch.setenv("DSR_SHOP_DSN", "postgresql://shop.invalid/")
    wrong, by_person = _mistakes(tmp_path / "downstreams.toml")
    assert (wrong, by_person) == ([], [str(each) for each in shop.by_person]), "make up says so, and starts"


@pytest.mark.parametrize(("held", "named"), [("customer", None), ("contract", None), ("ticket", "active_contract")])
def test_a_state_that_a_table_tells_and_no_rule_keeps_it_by_is_named_with_what_to_write(
    tmp_path: Path, held: str, named: str | None
) -> None:
    dataset = (
        f'name = "orders"\n[tables.deal]\ncategory = "{held}"\nprimary_key = ["id"]\n'
        'refuse_when = [{ column = "state", in = ["on"], reason = "active_contract" }]\n'
        '[tables.deal.columns]\nid = { class = "A", identity = "account_id", yields = true }\nstate = { class = "M" }\n'
    )
    table = WRONG[WRONG.index("[shop]") : WRONG.index("[helpdesk]")].replace('["phone"]', '["account_id"]')
    (shop,) = checked(tmp_path, table, dataset)
    said = [each.says for each in shop.by_person if "no rule keeps" in each.says]
    assert [f"name {named} in kept_by of categories.ticket" in each for each in said] == ([True] if named else [])
    assert against_policy([shop]).get("shop", []) == [each.says for each in (*shop.by_person, *shop.faults)]


@pytest.mark.parametrize(
    ("switch", "by_hand", "unrestricted"),
    [
        ("", ["restrict", "lift"], []),
        ('restriction = { column = "stopped", value = true }', [], ("letter",)),
    ],
)
def test_tables_that_show_no_restriction_are_told_before_the_first_request(
    tmp_path: Path, switch: str, by_hand: Sequence[str], unrestricted: Sequence[str]
) -> None:
    dataset = (
        f'name = "orders"\n[tables.client]\ncategory = "ticket"\nprimary_key = ["id"]\n{switch}\n'
        '[tables.client.columns]\nid = { class = "T" }\nstopped = { class = "T" }\n'
        'email = { class = "A", identity = "email" }\n'
        '[tables.item]\ncategory = "ticket"\nprimary_key = ["id"]\nvia = [{ table = "client", on = { of = "id" } }]\n'
        'columns = { id = { class = "T" }, of = { class = "T" } }\n[tables.letter]\ncategory = "ticket"\n'
        'primary_key = ["id"]\ncolumns = { id = { class = "T" }, mail = { class = "A", identity = "email" } }\n'
    )
    table = WRONG[WRONG.index("[shop]") : WRONG.index("[helpdesk]")].replace('["phone"]', '["email"]')
    found = report(checked(tmp_path, table, dataset))
    assert [found["systems"]["shop"].get(key, []) for key in ("by_hand", "unrestricted")] == [
        by_hand,
        unrestricted,
    ]
    if unrestricted:
        assert "a person restricts in what shows no restriction: letter" in words_of(found)[0]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", ["shop"]),
        ('accounts = "customers"\n', []),
        ('accounts = "crm"\n', ["crm"]),
        ('yields = ["account_id"]\n', []),
    ],
)
def test_a_system_that_is_searched_by_accounts_of_which_nobody_tells_one_is_named(
    tmp_path: Path, more: str, told: list[str]
) -> None:
    dataset = (
        'name = "orders"\n[tables.deal]\ncategory = "ticket"\nprimary_key = ["id"]\n[tables.deal.columns]\n'
        'id = { class = "A", identity = "account_id" }\nemail = { class = "A", identity = "email" }\n'
    )
    table = WRONG[WRONG.index("[shop]") : WRONG.index("[helpdesk]")].replace('["phone"]', '["email", "account_id"]')
    dataset = dataset.replace('"account_id" }', '"account_id", yields = true }') if "yields" in more else dataset
    found = report(checked(tmp_path, table + more, dataset))
    assert found["systems"]["shop"].get("no_account_told", []) == told
    assert ("nobody tells an account_id of its namespace" in words_of(found)[0]) is bool(told)


@pytest.mark.parametrize(
    ("key", "person", "more", "told"),
    [
        ("id", "", "", ["bill"]),
        ("account", "", "", []),
        ("id", 'person = "account"', "", []),
        ("id", 'person = "id"', "", []),
        ("id", 'person = "mail"', "", ["bill"]),
        ("id", 'person = "account"\noccurred = { column = "since" }', "", ["bill"]),
        ("id", "", "assigns = true\n", []),
    ],
    ids=["named", "its key", "one person's", "a row is one", "told apart by address", "what happened", "a register"],
)
def test_a_store_that_can_never_tell_whose_an_account_is_is_named(
    tmp_path: Path, key: str, person: str, more: str, told: list[str]
) -> None:
    dataset = (
        f'name = "orders"\n[tables.reader]\ncategory = "ticket"\nprimary_key = ["{key}"]\n{person}\n'
        '[tables.reader.columns]\nid = { class = "T" }\nmail = { class = "A", identity = "email" }\n'
        'account = { class = "A", identity = "account_id", yields = true }\nsince = { class = "M" }\n'
        '[tables.bill]\ncategory = "ticket"\nprimary_key = ["id"]\n'
        'columns = { id = { class = "T" }, owner = { class = "A", identity = "account_id" } }\n'
    )
    table = WRONG[WRONG.index("[shop]") : WRONG.index("[helpdesk]")].replace('["phone"]', '["email", "account_id"]')
    found = report(checked(tmp_path, f'{table}yields = ["account_id"]\n{more}', dataset))
    assert found["systems"]["shop"].get("never_told_apart", []) == told
    assert ("for want of the account's own record: bill" in words_of(found)[0]) is bool(told)


def test_what_a_file_says_that_a_store_yields_and_its_dataset_does_not_is_named(tmp_path: Path) -> None:
    right = ORDERS.replace('colour = "red"\n', "").replace('"Z"', '"A"').replace(', partty = "x"', "")
    table = WRONG[WRONG.index("[shop]") : WRONG.index("[helpdesk]")]
    (shop,) = checked(tmp_path, table.replace('["phone"]', '["email"]') + 'yields = ["account_id"]\n', right)
    assert [each.says.partition(",")[0] for each in shop.faults] == ["yields has account_id"]


def test_an_operation_that_nothing_declares_is_told_as_one_by_hand(tmp_path: Path) -> None:
    right = ORDERS.replace('colour = "red"\n', "").replace('"Z"', '"A"').replace(', partty = "x"', "")
    text = WRONG[WRONG.index("[shop]") :].replace('needs = ["phone"]', 'needs = ["email"]')
    shop, helpdesk = report(checked(tmp_path, text, right))["systems"].values()
    assert shop["operations"] == ["locate", "export", "erase", "rectify"], "a store is asked for a correction"
    assert shop["by_hand"] == ["restrict", "lift"]
    assert not {"restrict", "lift"} & set(helpdesk["operations"])


def test_a_system_that_the_file_does_not_declare_is_told_with_those_it_does(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text('[billing]\nadapter = "bus"\nneeds = ["email"]\n')
    with pytest.raises(Misconfigured, match=r"declares no \[shop\]: it declares billing"):
        asyncio.run(check(tmp_path / "d.toml", Wiring({}, SystemClock(), publish, b""), "shop"))


def test_an_emitter_that_speaks_for_accounts_of_no_register_is_told_with_its_line_and_the_mend(tmp_path: Path) -> None:
    (file := tmp_path / "emitters.toml").write_text('[numbers]\ntypes = ["number.assigned"]\nauthoritative = "shop"\n')
    systems = checked(tmp_path)
    [fault] = emitters_beside(file, systems)
    assert (fault.line, fault.place) == (3, "numbers.authoritative")
    assert fault.says.startswith("names shop, from which no register is filled: write the system with assigns = true")
    assert f"  {fault}" in words_of(report(systems, [fault]))
    file.write_text(file.read_text().replace("shop", "file"))
    assert emitters_beside(file, systems) == []
    shipped = asyncio.run(check(DEMO, Wiring({}, SystemClock(), publish, b""), live=False))
    assert emitters_beside(EMITTERS, shipped) == []
    file.write_text("[numbers]\n")
    assert [each.place for each in emitters_beside(file, systems)] == ["numbers.types"]


def test_lines_are_told_of_tables_of_arrays_quoted_keys_and_what_stands_within_one_line() -> None:
    lines = lines_of('a = 1\n[b."c d"]\n"e.f" = { g = 2 }\n[[h]]\ni = 1\n[[h]]\n[h.j]\nk = 1\n')
    assert line_of(lines, ("b", "c d", "e.f", "g")) == 3
    assert line_of(lines, ("h", 0, "i")) == 5
    assert line_of(lines, ("h", 1, "j", "k")) == 8
    assert line_of(lines, ("z",)) is None
