"""The downstreams file: what can be wrong with it is said with the place and the remedy."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from deploy.up.start import _mistakes
from shared.domain.clock import SystemClock
from shared.domain.errors import Misconfigured
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.policy import OVERLAY, read_policy
from shared.domain.topics import Message
from shared.domain.user_events import EMITTERS
from shared.systems.bus.settings import BusSettings
from shared.systems.check import SystemCheck, against_policy, check, emitter_faults, usable_systems, with_unset_faults
from shared.systems.commands import lines_of as words_of
from shared.systems.commands import report
from shared.systems.file import read
from shared.systems.http.adapter import HttpAdapter
from shared.systems.opendsr.settings import OpenDsrSettings
from shared.systems.protocols import Tried
from shared.systems.registry import Downstreams, Wiring
from shared.systems.sql.settings import SqlSettings
from tests.fixtures.engine import SetClock
from tests.fixtures.policy import NOTHING_KEPT, nothing_kept

DEMO = Path("shared/policy/downstreams.toml")
ENVIRONMENT = {
    "DSR_CRM_URL": "http://127.0.0.1:8000",
    "DSR_CRM_DATABASE": "tryton",
    "DSR_CRM_PASSWORD": "one",
    "DSR_CDR_DSN": "postgresql://127.0.0.1/cdr",
    "DSR_ANALYTICS_DSN": "postgresql://127.0.0.1/analytics",
    "DSR_TICKETING_URL": "http://127.0.0.1:8080/",
    "DSR_TICKETING_PASSWORD": "two",
}
MAILING = '[mailing]\nadapter = "opendsr"\nurl = "http://localhost/v2"\nneeds = ["email"]\n'
BILLING = '[billing]\nadapter = "bus"\nneeds = ["email"]\n'


async def publish(messages: Sequence[Message]) -> None:
    raise AssertionError(f"{len(messages)} messages, where nothing is to be sent")


def wiring(environment: Mapping[str, str]) -> Wiring:
    return Wiring(environment, SetClock(), publish, b"k" * 32)


def write(folder: Path, text: str) -> Path:
    path = folder / "downstreams.toml"
    path.write_text(text)
    return path


def load(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> Downstreams:
    return Downstreams.load(write(folder, text), wiring(environment or {}))


def test_the_demonstrations_systems_are_read_by_their_kinds() -> None:
    declared = {each.name: each for each in read(DEMO, ENVIRONMENT)}
    kinds = {name: getattr(each.settings, "adapter", None) for name, each in declared.items()}
    others = {"ticketing": "roundup", "mailing": "opendsr", "billing": "bus"}
    assert kinds == {"crm": "tryton", "cdr": "sql", "analytics": "sql", **others}
    assert [name for name, each in declared.items() if not each.enabled] == ["mailing", "billing"]
    assert declared["cdr"].needs == {IdentityType.PHONE, IdentityType.SIP_URI}


async def test_systems_are_found_by_what_they_can_do_and_the_crm_is_asked_first_and_erased_last() -> None:
    downstreams = Downstreams.load(DEMO, wiring(ENVIRONMENT))
    names = {operation: [system.name for system in downstreams.that_can(operation)] for operation in Operation}
    stages = [{f"{step.system}:{step.operation}" for step in stage} for stage in downstreams.stages(Operation.ERASE)]
    await downstreams.close()
    assert names[Operation.ERASE] == names[Operation.EXPORT] == ["crm", "cdr", "analytics", "ticketing"]
    assert names[Operation.ESCALATE] == ["ticketing"]
    assert "crm" in names[Operation.LOCATE]
    erased = {"cdr:erase", "analytics:erase", "ticketing:erase"}
    # The CRM tells whether a bill is disputed, by which calls are kept.
    assert stages == [{"crm:locate"}, {"crm:plan"}, {"cdr:plan"}, erased, {"crm:erase"}]


async def test_system_without_words_for_exemptions_is_manual_unless_others_report(tmp_path: Path) -> None:
    held, needs = 'categories = ["customer"]\n', 'needs = ["email"]\n'
    shop = f'[shop]\nadapter = "http"\nurl = "http://127.0.0.1:9"\ndeclaration = "stripe"\n{needs}'
    crm = '[crm]\nadapter = "tryton"\nurl = "http://x"\ndatabase = "d"\npassword_env = "DSR_CRM_PASSWORD"\n' + needs
    grounds = 'grounds = { contract = "contract", invoice_open = "open" }\n'
    environment = ENVIRONMENT | {"STRIPE_KEY": "k"}
    alone = load(tmp_path, MAILING + held + BILLING + held + shop + crm, environment)
    assert {each.name for each in alone.all if each.manual_erasure_reasons} == {"mailing", "shop", "crm"}, (
        "a team says so by a ground"
    )
    reported = load(tmp_path, MAILING + held + BILLING + held + shop + crm + grounds, environment)
    assert {each.name for each in reported.all if each.manual_erasure_reasons} == {"shop"}, (
        "a rule keeps payments for years"
    )
    assert "holds payment, which the policy does not let an erasure delete" in reported.all[2].manual_erasure_reasons[0]
    assert {each.name: each.states_from_others for each in reported.all if each.states_from_others} == {
        **{name: {"contract_active"} for name in ("mailing", "billing")},
        "shop": {"contract_active", "invoice_open"},
    }
    for each in (alone, reported):
        await each.close()


async def test_a_team_on_the_bus_is_named_with_what_it_can_do(tmp_path: Path) -> None:
    downstreams = load(tmp_path, MAILING + BILLING)
    assert downstreams.on_the_bus == ("billing",)
    assert [system.name for system in downstreams.that_can(Operation.ERASE)] == ["mailing", "billing"]
    assert [system.name for system in downstreams.that_can(Operation.EXPORT)] == ["mailing"]
    assert downstreams.that_can(Operation.SUPPRESS) == ()
    await downstreams.close()


async def test_unsupported_operation_is_manual_unless_it_concerns_nothing(tmp_path: Path) -> None:
    downstreams = load(tmp_path, MAILING + BILLING + 'not_held = ["suppress"]\n')
    by_hand = {operation: downstreams.by_hand(operation) for operation in Operation}
    both, none = {"mailing", "billing"}, set[str]()
    assert by_hand == {
        **dict.fromkeys(Operation, none),
        **dict.fromkeys((Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT), both),
        Operation.EXPORT: {"billing"},
        Operation.SUPPRESS: {"mailing"},
    }
    planned = {step.system for stage in downstreams.stages(Operation.SUPPRESS) for step in stage}
    await downstreams.close()
    assert planned == {"mailing"}


def test_settings_have_defaults_and_addresses_come_from_the_environment(tmp_path: Path) -> None:
    text = MAILING.replace("http://localhost/v2", "${MAILING}") + BILLING
    mailing, billing = read(write(tmp_path, text), {"MAILING": "http://127.0.0.1:8400/v2"})
    assert isinstance(mailing.settings, OpenDsrSettings)
    assert str(mailing.settings.url) == "http://127.0.0.1:8400/v2"
    assert billing.settings == BusSettings()


def test_a_path_is_relative_to_the_folder_of_the_file(tmp_path: Path) -> None:
    orders = '[orders]\nadapter = "sql"\ndsn_env = "DSR_ORDERS_DSN"\ndataset = "orders.toml"\nneeds = ["email"]\n'
    text = f'{orders}{MAILING}certificate = "m.pem"\ndomain = "m.example"\n'
    sql, mailing = read(write(tmp_path, text), {})
    assert isinstance(sql.settings, SqlSettings)
    assert sql.settings.dataset == str(tmp_path / "orders.toml")
    assert isinstance(mailing.settings, OpenDsrSettings)
    assert mailing.settings.certificate == tmp_path / "m.pem"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "declares no system; write a table for each, such as [crm]"),
        ("[crm", "not TOML"),
        ("crm = 1", "[crm]: is not a table"),
        ("[CRM_1]", "use small letters, digits and hyphens"),
        ("[crm]", '[crm]: adapter is missing; write one of "sql", "tryton", "roundup", "opendsr", "http", "bus"'),
        ('[crm]\nadapter = "sap"', "[crm]: adapter 'sap' is not known; write one of"),
        ('[b]\nadapter = "bus"', "[b]: needs is missing; write needs = … (identity types, any of which"),
        ('[b]\nadapter = "bus"\nneeds = []', "[b]: needs holds []: write a value (identity types, any of which"),
        ('[b]\nadapter = "bus"\nneeds = ["mail"]', "[b]: needs.0: Input should be 'email', 'phone'"),
        (f"{BILLING}max_row = 3", "[billing]: max_row is not a key here; write max_rows"),
        (
            f"{BILLING}colour = 3",
            "[billing]: colour is not a key here; the keys are needs, yields, assigns, not_held, accounts, categories,",
        ),
        (
            f'{BILLING}max_rows = "3 rows"',
            "[billing]: max_rows holds '3 rows': write a whole number from 1 up to 1000000000",
        ),
        (f"{BILLING}max_rows = 0", "[billing]: max_rows holds 0: write a whole number from 1 up to 1000000000 (a team"),
        (f"{MAILING}timeout_s = inf", "[mailing]: timeout_s holds inf: write a number above 0 up to 3600 (how long"),
        (f"{BILLING}claim_hours = 1", "[billing]: claim_hours must be longer than ask_again_max_s"),
        (f'{BILLING}yields = ["phone"]', "[billing]: yields needs a system that can be searched"),
        (
            f'{MAILING}token_env = "DSR_TOKEN"',
            "[mailing]: token_env names DSR_TOKEN, which is not set; export DSR_TOKEN",
        ),
        (MAILING.replace("http://localhost/v2", "${URL}"), "[mailing]: url takes its value from URL, which is not set"),
        (
            MAILING.replace("http://localhost/v2", "${SECRET}"),
            "[mailing]: url holds '${SECRET}': write a value (base URL",
        ),
        (
            '[crm]\nadapter = "tryton"\nurl = "http://[::1"\npassword_env = "SECRET"\nneeds = ["email"]\n',
            "[crm]: url holds 'http://[::1': write the URL of an HTTP server, as http://host:port",
        ),
        (
            '[calls]\nadapter = "sql"\ndsn_env = "SECRET"\ndataset = "kamailio"\nneeds = ["phone", "sip_uri"]\n',
            "[calls]: dsn_env names SECRET, which holds neither a postgresql:// nor a mariadb:// URL; set it to",
        ),
    ],
)
def test_mistake_is_reported_with_its_place_and_remedy(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(tmp_path, text, {"SECRET": "known to two"})
    assert says in str(caught.value)
    assert "known to two" not in str(caught.value)
    assert "downstreams.toml" in str(caught.value)


def test_all_mistakes_of_a_table_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"max_row is not a key.*colour is not a key"):
        load(tmp_path, f"{BILLING}max_row = 3\ncolour = 1")


def test_missing_file_is_reported_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="point DSR_WORK_DOWNSTREAMS at a file"):
        read(tmp_path / "absent.toml", {})


def test_a_secret_is_never_in_the_words_of_the_wiring() -> None:
    assert "two" not in repr(wiring(ENVIRONMENT))


def test_undeclared_system_is_reported_with_the_declared_ones(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no downstream 'crm': the downstreams file declares billing"):
        load(tmp_path, BILLING).get("crm")


def test_the_hash_of_a_system_changes_with_its_table_and_its_dataset_and_with_nothing_else(tmp_path: Path) -> None:
    def hashed(text: str, environment: Mapping[str, str] = ENVIRONMENT) -> str:
        return load(tmp_path, text, environment).fingerprints["calls"]

    dataset = tmp_path / "calls.toml"
    dataset.write_text((DEMO.parent / "datasets" / "kamailio.toml").read_text())
    table = (
        '[calls]\nadapter = "sql"\ndsn_env = "DSR_CDR_DSN"\ndataset = "calls.toml"\nours = ["sip"]\n'
        'needs = ["phone", "sip_uri"]\n'
    )
    before = hashed(table)
    assert hashed(f"# a word\n{table}enabled = true\n", {**ENVIRONMENT, "DSR_CDR_DSN": "postgresql://else"}) == before
    assert hashed(f"{table}max_rows = 5\n") != before
    dataset.write_text(dataset.read_text() + "\n# a word\n")
    assert hashed(table) == before
    dataset.write_text(dataset.read_text().replace('end_time = { class = "M"', 'end_time = { class = "T"'))
    assert hashed(table) != before


def test_account_id_is_sent_only_to_systems_of_its_namespace(tmp_path: Path) -> None:
    table = '[{0}]\nadapter = "bus"\nneeds = ["account_id", "email"]\n{1}\n'
    systems = {"crm": 'accounts = "customers"', "shop": 'accounts = "customers"', "orders": "", "billing": ""}
    loaded = load(tmp_path, "".join(table.format(name, more) for name, more in systems.items()))
    stated, found, theirs = (
        Identity(IdentityType.ACCOUNT_ID, "1001", source=each) for each in ("requester", "crm", "orders")
    )
    address, nickname = Identity(IdentityType.EMAIL, "ada@example.org"), Identity(IdentityType.NAME, "Ada")
    received = {name: loaded.get(name).may_receive([stated, found, theirs, address, nickname]) for name in systems}
    assert received["crm"] == received["shop"] == (stated, found, address, nickname)
    assert received["orders"] == (theirs, address, nickname)
    assert received["billing"] == (address, nickname)


def test_a_command_works_by_the_policy_that_the_services_work_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OVERLAY, raising=False)
    assert Wiring.of_command().policy == read_policy()
    monkeypatch.setenv(OVERLAY, NOTHING_KEPT[OVERLAY])
    assert Wiring.of_command().policy == nothing_kept()
    monkeypatch.setenv(OVERLAY, "/nowhere")
    with pytest.raises(Misconfigured, match=f"{OVERLAY}: /nowhere"):
        Wiring.of_command()


# ``dsr downstreams check`` reports all mistakes together, with key and remedy, and needs only the secrets of the file.
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


def checked(folder: Path, text: str = WRONG, dataset: str = ORDERS, **environment: str) -> Sequence[SystemCheck]:
    (folder / "orders.toml").write_text(dataset)
    (folder / "downstreams.toml").write_text(text)
    wiring = Wiring(environment, SystemClock(), publish, b"")
    return asyncio.run(check(folder / "downstreams.toml", wiring, live=False))


def test_all_mistakes_of_all_files_are_reported_together_with_a_remedy(tmp_path: Path) -> None:
    orders, shop, helpdesk = checked(tmp_path)
    assert [(each.place, each.says) for each in orders.faults[:2]] == [
        ("[orders]", "needs.0: Input should be 'email', 'phone', 'account_id', 'sip_uri', 'client_id' or 'name'"),
        ("[orders]", "max_row is not a key here; write max_rows"),
    ]
    assert [(Path(each.file).name, each.place, each.says) for each in shop.faults] == [
        (
            "orders.toml",
            "tables.customer_order.columns.email.class",
            "holds 'Z': Input should be 'A', 'B', 'M', 'C' or 'T'",
        ),
        ("orders.toml", "tables.customer_order.columns.goods.partty", "is no key here; write party"),
        ("orders.toml", "tables.customer_order.colour", "is no key here; write country"),
    ]
    assert [each.place for each in orders.faults[2:]] == [each.place for each in shop.faults]
    assert helpdesk.faults == ()


def test_a_system_whose_variables_are_not_set_is_checked_by_its_file_and_said_to_be_so(tmp_path: Path) -> None:
    *_, helpdesk = checked(tmp_path)
    assert helpdesk.unset == ("HELPDESK_URL", "ZENDESK_USER", "ZENDESK_TOKEN")
    lines = words_of(report([helpdesk]))
    assert lines[1] == "  checked by the file alone: HELPDESK_URL, ZENDESK_USER, ZENDESK_TOKEN not set"
    assert [each.says.partition(",")[0] for each in with_unset_faults(helpdesk).faults] == [
        "export HELPDESK_URL",
        "export ZENDESK_USER",
        "export ZENDESK_TOKEN",
    ]


def test_unset_secret_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def inspect(_: HttpAdapter) -> Sequence[Tried]:
        return [Tried("access", "a request", "it was asked")]

    monkeypatch.setattr(HttpAdapter, "inspect", inspect)
    (tmp_path / "d.toml").write_text(WRONG[WRONG.index("[helpdesk]") :])
    secrets = {"HELPDESK_URL": "http://127.0.0.1:9", "ZENDESK_USER": "us"}
    found = [
        asyncio.run(check(tmp_path / "d.toml", Wiring(known, SystemClock(), publish, b"")))[0]
        for known in (secrets, {**secrets, "ZENDESK_TOKEN": "secret"})
    ]
    assert [(each.live, [fault.says for fault in each.faults]) for each in found] == [
        (False, []),
        (True, ["it was asked"]),
    ]


def test_identity_missing_in_needs_is_reported(tmp_path: Path) -> None:
    right = ORDERS.replace('colour = "red"\n', "").replace('"Z"', '"A"').replace(', partty = "x"', "")
    _, shop, _ = checked(tmp_path, dataset=right)
    assert [(each.place, each.says.partition(",")[0]) for each in shop.faults] == [("[shop]", "needs lacks email")]


def test_the_file_that_ships_is_right_without_a_single_secret() -> None:
    found = asyncio.run(check(DEMO, Wiring({}, SystemClock(), publish, b""), live=False))
    assert [each.name for each in found if each.faults] == []
    assert [each.name for each in usable_systems(found).all] == ["crm", "cdr", "analytics", "ticketing"]
    said = report(found)
    assert said["erasure"] == [
        ["locate crm"],
        ["plan crm"],
        ["plan cdr"],
        ["erase cdr", "erase analytics", "erase ticketing"],
        ["erase crm"],
    ]


@pytest.mark.parametrize("known", [False, True])
def test_unreported_state_of_kept_data_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    state = 'states.active_contract = { column = "contract", in = ["yes"] }' if known else ""
    dataset = (
        f'name = "orders"\n[tables.customer]\ncategory = "customer"\nprimary_key = ["id"]\n{state}\n'
        '[tables.customer.columns]\nid = { class = "A", identity = "account_id", yields = true }\n'
        'contract = { class = "M" }\n'
    )
    table = WRONG[WRONG.index("[shop]") : WRONG.index("[helpdesk]")].replace('["phone"]', '["account_id"]')
    (shop,) = checked(tmp_path, table, dataset)
    said = "holds what the policy keeps while contract_active"
    assert [each.says.partition(",")[0] for each in shop.manual_parts] == ([] if known else [said])
    if not known:
        assert "declare the state active_contract on a table" in shop.manual_parts[0].says
    assert not shop.faults, "the platform works with it all the same"
    monkeypatch.setenv("DSR_SHOP_DSN", "postgresql://shop.invalid/")
    wrong, by_person = _mistakes(tmp_path / "downstreams.toml")
    assert (wrong, by_person) == ([], [str(each) for each in shop.manual_parts]), "make up says so, and starts"


@pytest.mark.parametrize(("held", "named"), [("customer", None), ("contract", None), ("ticket", "active_contract")])
def test_state_reported_without_a_rule_is_named(tmp_path: Path, held: str, named: str | None) -> None:
    dataset = (
        f'name = "orders"\n[tables.deal]\ncategory = "{held}"\nprimary_key = ["id"]\n'
        'states.active_contract = { column = "state", in = ["on"] }\n'
        '[tables.deal.columns]\nid = { class = "A", identity = "account_id", yields = true }\nstate = { class = "M" }\n'
    )
    table = WRONG[WRONG.index("[shop]") : WRONG.index("[helpdesk]")].replace('["phone"]', '["account_id"]')
    (shop,) = checked(tmp_path, table, dataset)
    said = [each.says for each in shop.manual_parts if "no rule keeps" in each.says]
    assert [f"name {named} in kept_by of categories.ticket" in each for each in said] == ([True] if named else [])
    assert against_policy([shop]).get("shop", []) == [each.says for each in (*shop.manual_parts, *shop.faults)]


@pytest.mark.parametrize(
    ("key", "person", "more", "named"),
    [
        ("id", "", "", ["bill"]),
        ("account", "", "", []),
        ("id", 'person = "account"', "", []),
        ("id", 'person = "id"', "", []),
        ("id", 'person = "mail"', "", ["bill"]),
        ("id", 'person = "account"\nat = { happened = "since" }', "", ["bill"]),
        ("id", "", "assigns = true\n", []),
    ],
    ids=["named", "its key", "one person's", "a row is one", "separated by address", "what happened", "a register"],
)
def test_store_that_cannot_own_is_named(tmp_path: Path, key: str, person: str, more: str, named: list[str]) -> None:
    dataset = (
        f'name = "orders"\n[tables.reader]\ncategory = "ticket"\nprimary_key = ["{key}"]\n{person}\n'
        '[tables.reader.columns]\nid = { class = "T" }\nmail = { class = "A", identity = "email" }\n'
        'account = { class = "A", identity = "account_id", yields = true }\nsince = { class = "M" }\n'
        '[tables.bill]\ncategory = "ticket"\nprimary_key = ["id"]\n'
        'columns = { id = { class = "T" }, owner = { class = "A", identity = "account_id" } }\n'
    )
    table = WRONG[WRONG.index("[shop]") : WRONG.index("[helpdesk]")].replace('["phone"]', '["email", "account_id"]')
    found = report(checked(tmp_path, f'{table}yields = ["account_id"]\n{more}', dataset))
    assert found["systems"]["shop"].get("unconfirmed_accounts", []) == named
    said = "an officer decides whose a row is, unless the account is proved: bill"
    assert any(said in line for line in words_of(found)) is bool(named)


def test_what_a_file_says_that_a_store_yields_and_its_dataset_does_not_is_named(tmp_path: Path) -> None:
    right = ORDERS.replace('colour = "red"\n', "").replace('"Z"', '"A"').replace(', partty = "x"', "")
    table = WRONG[WRONG.index("[shop]") : WRONG.index("[helpdesk]")]
    (shop,) = checked(tmp_path, table.replace('["phone"]', '["email"]') + 'yields = ["account_id"]\n', right)
    assert [each.says.partition(",")[0] for each in shop.faults] == ["yields has account_id"]


def test_undeclared_operation_is_reported_as_manual(tmp_path: Path) -> None:
    right = ORDERS.replace('colour = "red"\n', "").replace('"Z"', '"A"').replace(', partty = "x"', "")
    text = WRONG[WRONG.index("[shop]") :].replace('needs = ["phone"]', 'needs = ["email"]')
    shop, helpdesk = report(checked(tmp_path, text, right))["systems"].values()
    assert shop["operations"] == ["locate", "export", "erase", "rectify"], "a store is asked for a correction"
    assert shop["by_hand"] == ["restrict", "lift"]
    assert not {"restrict", "lift"} & set(helpdesk["operations"])


def test_unknown_system_is_reported_with_the_declared_ones(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text('[billing]\nadapter = "bus"\nneeds = ["email"]\n')
    with pytest.raises(Misconfigured, match=r"declares no \[shop\]: it declares billing"):
        asyncio.run(check(tmp_path / "d.toml", Wiring({}, SystemClock(), publish, b""), "shop"))


def test_emitter_for_an_unknown_register_is_reported_with_a_remedy(tmp_path: Path) -> None:
    (file := tmp_path / "emitters.toml").write_text('[numbers]\ntypes = ["number.assigned"]\nauthoritative = "shop"\n')
    systems = checked(tmp_path)
    [fault] = emitter_faults(file, systems)
    assert fault.place == "numbers.authoritative"
    assert fault.says.startswith("names shop, from which no register is filled: write the system with assigns = true")
    assert f"  {fault}" in words_of(report(systems, [fault]))
    file.write_text(file.read_text().replace("shop", "file"))
    assert emitter_faults(file, systems) == []
    shipped = asyncio.run(check(DEMO, Wiring({}, SystemClock(), publish, b""), live=False))
    assert emitter_faults(EMITTERS, shipped) == []
    file.write_text("[numbers]\n")
    assert [each.place for each in emitter_faults(file, systems)] == ["numbers.types"]
