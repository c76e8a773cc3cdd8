"""The downstreams file: what can be wrong with it is said with the place and the remedy."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.policy import OVERLAY, read_policy
from shared.domain.records import Message
from shared.downstreams.bus.settings import BusSettings
from shared.downstreams.file import read
from shared.downstreams.opendsr.settings import OpenDsrSettings
from shared.downstreams.registry import Downstreams, Wiring
from shared.downstreams.sql.settings import SqlSettings
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


async def test_whose_interface_has_no_word_for_what_must_stay_is_left_to_a_person_unless_another_tells(
    tmp_path: Path,
) -> None:
    held, needs = 'categories = ["customer"]\n', 'needs = ["email"]\n'
    shop = f'[shop]\nadapter = "http"\nurl = "http://127.0.0.1:9"\ndeclaration = "stripe"\n{needs}'
    crm = '[crm]\nadapter = "tryton"\nurl = "http://x"\ndatabase = "d"\npassword_env = "DSR_CRM_PASSWORD"\n' + needs
    grounds = 'grounds = { contract = "contract", invoice_open = "open" }\n'
    environment = ENVIRONMENT | {"STRIPE_KEY": "k"}
    alone = load(tmp_path, MAILING + held + BILLING + held + shop + crm, environment)
    assert {each.name for each in alone.all if each.left} == {"mailing", "shop", "crm"}, "a team says so by a ground"
    told = load(tmp_path, MAILING + held + BILLING + held + shop + crm + grounds, environment)
    assert {each.name for each in told.all if each.left} == {"shop"}, "a rule keeps payments for years"
    assert "holds payment, which the policy does not let an erasure delete" in told.all[2].left[0]
    assert {each.name: each.rests_on for each in told.all if each.rests_on} == {
        **{name: {"contract_active"} for name in ("mailing", "billing")},
        "shop": {"contract_active", "invoice_open"},
    }
    for each in (alone, told):
        await each.close()


async def test_a_team_on_the_bus_is_named_with_what_it_can_do(tmp_path: Path) -> None:
    downstreams = load(tmp_path, MAILING + BILLING)
    assert downstreams.on_the_bus == ("billing",)
    assert [system.name for system in downstreams.that_can(Operation.ERASE)] == ["mailing", "billing"]
    assert [system.name for system in downstreams.that_can(Operation.EXPORT)] == ["mailing"]
    assert downstreams.that_can(Operation.SUPPRESS) == ()
    await downstreams.close()


async def test_what_a_system_has_no_way_to_do_is_planned_and_done_by_hand_unless_it_concerns_nothing_there(
    tmp_path: Path,
) -> None:
    downstreams = load(tmp_path, MAILING + BILLING + 'not_held = ["suppress"]\n')
    by_hand = {operation: downstreams.by_hand(operation) for operation in Operation}
    everybody, nobody = {"mailing", "billing"}, set[str]()
    assert by_hand == {
        **dict.fromkeys(Operation, nobody),
        **dict.fromkeys((Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT), everybody),
        Operation.EXPORT: {"billing"},
        Operation.SUPPRESS: {"mailing"},
    }
    planned = {step.system for stage in downstreams.stages(Operation.SUPPRESS) for step in stage}
    await downstreams.close()
    assert planned == {"mailing"}


def test_settings_that_are_not_given_have_their_defaults_and_an_address_can_come_from_the_environment(
    tmp_path: Path,
) -> None:
    text = MAILING.replace("http://localhost/v2", "${MAILING}") + BILLING
    mailing, billing = read(write(tmp_path, text), {"MAILING": "http://127.0.0.1:8400/v2"})
    assert isinstance(mailing.settings, OpenDsrSettings)
    assert (mailing.settings.format, str(mailing.settings.url)) == ("raw", "http://127.0.0.1:8400/v2")
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
        (f'{MAILING}format = "md5"', "[mailing]: format holds 'md5': md5 is broken and gives the identity away; write"),
        (
            f'{MAILING}token_env = "DSR_TOKEN"',
            "[mailing]: token_env names DSR_TOKEN, which is not set; export DSR_TOKEN",
        ),
        (
            MAILING.replace("http://localhost/v2", "${URL}"),
            "[mailing]: url takes its value from URL, which is not set",
        ),
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
def test_a_mistake_is_told_with_its_place_and_its_remedy(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(tmp_path, text, {"SECRET": "known to two"})
    assert says in str(caught.value)
    assert "known to two" not in str(caught.value)
    assert "downstreams.toml" in str(caught.value)


def test_every_mistake_of_a_table_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"max_row is not a key.*colour is not a key"):
        load(tmp_path, f"{BILLING}max_row = 3\ncolour = 1")


def test_a_file_that_is_not_there_is_told_with_the_setting_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="point DSR_WORK_DOWNSTREAMS at a file"):
        read(tmp_path / "absent.toml", {})


def test_a_secret_is_never_in_the_words_of_the_wiring() -> None:
    assert "two" not in repr(wiring(ENVIRONMENT))


def test_a_system_that_is_not_declared_is_told_with_those_that_can(tmp_path: Path) -> None:
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


def test_an_account_id_is_told_to_systems_of_its_namespace_alone(tmp_path: Path) -> None:
    table = '[{0}]\nadapter = "bus"\nneeds = ["account_id", "email"]\n{1}\n'
    systems = {"crm": 'accounts = "customers"', "shop": 'accounts = "customers"', "orders": "", "billing": ""}
    loaded = load(tmp_path, "".join(table.format(name, more) for name, more in systems.items()))
    stated, found, theirs = (
        Identity(IdentityType.ACCOUNT_ID, "1001", source=each) for each in ("requester", "crm", "orders")
    )
    address, nickname = Identity(IdentityType.EMAIL, "ada@example.org"), Identity(IdentityType.NAME, "Ada")
    heard = {name: loaded.get(name).may_hear([stated, found, theirs, address, nickname]) for name in systems}
    assert heard["crm"] == heard["shop"] == (stated, found, address, nickname)
    assert heard["orders"] == (theirs, address, nickname)
    assert heard["billing"] == (address, nickname)


def test_a_command_works_by_the_policy_that_the_services_work_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OVERLAY, raising=False)
    assert Wiring.of_command().policy == read_policy()
    monkeypatch.setenv(OVERLAY, NOTHING_KEPT[OVERLAY])
    assert Wiring.of_command().policy == nothing_kept()
    monkeypatch.setenv(OVERLAY, "/nowhere")
    with pytest.raises(Misconfigured, match=f"{OVERLAY}: /nowhere"):
        Wiring.of_command()
