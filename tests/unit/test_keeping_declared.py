"""Declarations that a table needs so that a rule can keep its rows; errors say what to write."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from shared.domain.errors import GroundInvalid, Misconfigured, NotSupported
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import COUNTRY_UNKNOWN, Kept, Operation, TaskOutcome, Unsearched
from shared.domain.policy import OnErasure, read_policy
from shared.fulfilment.failures import failure_sentence
from shared.systems.contract import Receipt
from shared.systems.downstream import Downstream
from shared.systems.engine.copying import matches
from shared.systems.engine.grounds import with_signed_rule
from shared.systems.engine.ownership import Coverage, OwnedRecord, subject_search
from shared.systems.engine.planning import places_showing_restriction
from shared.systems.engine.searching import manual_reason
from shared.systems.relations import with_states
from shared.systems.roundup.adapter import RoundupAdapter
from shared.systems.sql.check import undeclared
from shared.systems.sql.dataset import Dataset, Tenancy
from shared.systems.sql.declaration import Table
from shared.systems.sql.settings import SqlSettings
from shared.systems.tryton.system import CATEGORIES as TRYTON
from tests.fixtures.downstream import email, task
from tests.fixtures.engine import ScriptedSystem
from tests.fixtures.policy import doing, signed_policy
from tests.fixtures.shapes import table_of, tables_of
from tests.unit.test_registry import load

CONTRACT: dict[str, Any] = {
    "category": "contract",
    "primary_key": ["id"],
    "columns": {
        "id": {"class": "T"},
        "email": {"class": "A", "identity": "email"},
        "ended": {"class": "M"},
        "signed": {"class": "M"},
        "kept": {"class": "T"},
    },
    "at": {"happened": "ended", "relationship_end": "ended"},
    "keep": {"fields": {"name": []}, "mark": {"kept": True}},
}


@pytest.mark.parametrize(
    ("instead", "says"),
    [
        ({"at": {"relationship_end": "ended"}}, 'keep needs at.happened, to .*: write happened = "ended" there'),
        ({"at": {"happened": "signed", "relationship_end": "ended"}}, 'write happened = "ended" there'),
        ({"at": {}}, "at names none: name in at the one from which its rule counts"),
        (
            {"at": {"happened": "ended", "relationship_end": "ended", "invoice_date": "signed"}},
            "at names ended, signed: name in at the one",
        ),
    ],
)
def test_what_keeps_lacks_is_said_with_what_to_write(instead: dict[str, Any], says: str) -> None:
    Table.model_validate(CONTRACT)
    with pytest.raises(ValidationError) as wrong:
        Table.model_validate(CONTRACT | instead)
    assert re.search(says, str(wrong.value))


# What the policy does with a category on the day of an erasure is declared in the dataset, or refused by name.
TRACKER = RoundupAdapter.can.categories

TEXT = """
name = "shop"
[tables.visit]
category = "analytics"
primary_key = ["id"]
at = { event_time = "at" }
{more}
[tables.visit.columns]
id = { class = "T" }
at = { class = "M" }
email = { class = "A", identity = "email"{party} }
"""
ANONYMISE = "# anonymous"
PARTIES = "parties = { a = {}, b = {} }"


def dataset(tmp_path: Path, more: str = "") -> Dataset:
    party = ', party = "a"' if "parties" in more else ""
    text = TEXT.replace("{more}", more).replace("{party}", party)
    if "keep." in more:
        text = text.replace("at = { e", 'at = { happened = "at", e') + 'k = { class = "T" }\n'
    if party:
        text += 'other = { class = "A", party = "b" }\n'
    if ANONYMISE in more:
        text = text.replace('id = { class = "T" }', 'id = { class = "T", anonymous = "redraw" }')
    (tmp_path / "shop.toml").write_text(text, encoding="utf-8")
    return Dataset.load(str(tmp_path / "shop.toml"))


def folder(tmp_path: Path) -> Path:
    (tmp_path / "over").mkdir()
    return tmp_path / "over"


@pytest.mark.parametrize(
    ("on_erasure", "ruled", "more", "says"),
    [
        ("delete", False, "", None),
        ("keep", False, "", "no rule of its kept_by says on which ground and until when"),
        ("keep", True, "", "declare at.event_time and keep.fields"),
        ("restrict", True, "", "declare at.event_time and keep.fields"),
        ("anonymise", False, "", "declare anonymous"),
        ("anonymise", False, ANONYMISE, None),
        ("anonymise", False, f'{ANONYMISE}\n{PARTIES}\non_erase = "blank"', "several people are in a row"),
    ],
)
def test_what_a_store_cannot_do_with_a_category_is_said_by_name_and_nothing_is_deleted_instead(
    tmp_path: Path, on_erasure: str, more: str, says: str | None, *, ruled: bool
) -> None:
    found = list(undeclared(dataset(tmp_path, more), doing(folder(tmp_path), on_erasure, ruled=ruled)))
    assert [says in each for each in found if says] == ([True] if says else [])
    assert len(found) == (1 if says else 0)


@pytest.mark.parametrize(
    ("said", "missing"), [('a = ["at"], b = []', None), ('a = ["at"]', "b"), ('c = ["at"]', "a, b")]
)
def test_undeclared_field_of_a_rule_is_named_and_takes_nothing(tmp_path: Path, said: str, missing: str | None) -> None:
    more = f"keep.mark = {{ k = true }}\nkeep.fields = {{ {said} }}"
    policy = doing(folder(tmp_path), "restrict", ruled=True)
    rule = policy.rules["visits"].model_copy(update={"fields": frozenset({"a", "b"})})
    policy = policy.with_other(rules={**policy.rules, "visits": rule})
    found = list(undeclared(dataset(tmp_path, more), policy))
    assert [each.partition(" is, which")[0] for each in found] == (
        [f"visit.keep does not say where {missing}"] if missing else []
    )


def test_what_customers_alone_decide_about_is_not_ours_to_keep(tmp_path: Path) -> None:
    text = TEXT.replace("{more}", 'tenant = "owner"').replace("{party}", "").replace('"analytics"', '"recording"')
    (tmp_path / "pbx.toml").write_text(f'{text}owner = {{ class = "T" }}\n', encoding="utf-8")
    assert not [*undeclared(Dataset.load(str(tmp_path / "pbx.toml")), read_policy())]


@pytest.mark.parametrize(
    ("on_erasure", "ruled", "alone", "with_rules"),
    [
        ("delete", False, False, False),
        ("keep", True, True, True),
        ("anonymise", False, True, True),
        ("restrict", True, True, False),
    ],
)
def test_a_system_that_can_only_delete_is_left_to_a_person_where_the_policy_says_something_else(
    tmp_path: Path, on_erasure: str, *, ruled: bool, alone: bool, with_rules: bool
) -> None:
    policy = doing(folder(tmp_path), on_erasure, ruled=ruled)
    deletes = ScriptedSystem("tracker")
    deletes.more["on_erasure"] = frozenset({OnErasure.DELETE})
    for adapter, undone in ((deletes, alone), (ScriptedSystem("crm"), with_rules)):
        system = Downstream("it", frozenset(), adapter=adapter, categories=frozenset({"analytics_event", "contact"}))
        system = replace(system, unsupported_categories=system.unsupported_under(policy))
        assert system.unsupported_categories == ({"analytics_event"} if undone else set())
        asked = [manual_reason(system, operation, None, {}) for operation in (Operation.ERASE, Operation.PLAN)]
        assert [isinstance(each, NotSupported) for each in asked] == [undone, undone]
        assert manual_reason(system, Operation.EXPORT, None, {}) is None, "it is shown all the same"
        assert manual_reason(system, Operation.ERASE, "acme", {}) is None, "what a customer decides about is theirs"


def test_nothing_of_the_demonstrations_systems_is_left_to_a_person_by_the_policy_as_shipped() -> None:
    for policy in (read_policy(), signed_policy()):
        for categories in (TRYTON.values(), TRACKER):
            adapter = ScriptedSystem("it")
            adapter.more["on_erasure"] = frozenset({OnErasure.DELETE})
            assert not Downstream(
                "it", frozenset(), adapter=adapter, categories=frozenset(categories)
            ).unsupported_under(policy)


@pytest.mark.parametrize(
    ("crm", "unreported"), [(None, {"contract_active"}), (True, set()), (False, {"contract_active"})]
)
def test_unknown_state_that_keeps_data_is_manual(unreported: set[str], *, crm: bool | None) -> None:
    store, telling = ScriptedSystem("shop"), ScriptedSystem("crm")
    store.more["reports_no_states"] = True
    telling.tells = frozenset({"contract_active"})
    systems = [Downstream("shop", frozenset(), adapter=store, categories=frozenset({"contact", "ticket"}))]
    if crm is not None:
        contact = frozenset({"contact"})
        systems.append(Downstream("crm", frozenset(), adapter=telling, enabled=crm, categories=contact))
    for policy in (read_policy(), signed_policy()):
        shop, *others = with_states(systems, policy)
        assert shop.unreported == unreported
        assert not any(each.unreported for each in others)
        asked = [manual_reason(shop, operation, None, {}) for operation in (Operation.ERASE, Operation.PLAN)]
        assert [isinstance(each, NotSupported) for each in asked] == [bool(unreported)] * 2
        assert shop.may_refuse, "it is asked before anything is erased anywhere"
        assert shop.states_from_others == {"contract_active"} - unreported, "and after the system that reports it"
        assert manual_reason(shop, Operation.EXPORT, None, {}) is None


def test_what_has_to_be_declared_for_a_store_of_invoices_alone_is_named_state_by_state() -> None:
    store = ScriptedSystem("shop")
    store.more["reports_no_states"] = True
    shop = Downstream("shop", frozenset(), adapter=store, categories=frozenset({"invoice"}))
    (shop,) = with_states([shop], read_policy())
    assert [each.partition(" or take ")[2] for each in shop.to_declare] == [
        "active_contract out of kept_by of categories.invoice",
        "dispute out of kept_by of categories.invoice",
        "open_invoice out of kept_by of categories.invoice",
    ]
    for state, reason in (("contract_active", "active_contract"), ("disputed", "dispute")):
        declare = f"for {state} declare the state {reason} on a table or resource of the system"
        assert any(each.startswith(declare) for each in shop.to_declare)
    [said] = shop.manual_parts
    assert all(each in said for each in shop.to_declare)
    assert said.endswith("; or a person does each erasure")
    telling = ScriptedSystem("crm")
    telling.tells = frozenset({"contract_active", "disputed", "invoice_open"})
    crm = Downstream("crm", frozenset(), adapter=telling, categories=frozenset({"contact"}))
    assert [each.manual_parts for each in with_states([shop, crm], read_policy())] == [[], []]


# In which tables a restriction is obeyed, where some bear its switch and others do not (Art. 18).
def table(*, to: str = "", key: str = "id", **said: Any) -> Table:
    """A table of a few columns; ``to``: the one to which its rows belong."""
    columns = {
        "id": {"class": "T"},
        "owner": {"class": "T"},
        "account": {"class": "A", "identity": "account_id"},
        "email": {"class": "A", "identity": "email"},
        "restricted": {"class": "T"},
    }
    used = {name: columns[name] for name in {"id", "owner", key, *said.pop("columns", ())}}
    if to:
        said["belongs_to"] = [{"table": to, "on": {"owner": "id"}}]
    if said.pop("switch", False):
        said["restrict"] = {"restricted": True}
        used["restricted"] = columns["restricted"]
    return Table.model_validate({"category": "any", "primary_key": [key], "columns": used, **said})


CUSTOMER = table(key="account", switch=True)


@pytest.mark.parametrize(
    ("tables", "reached"),
    [
        ({"customer": CUSTOMER, "news": table(columns=["email"])}, {"customer"}),
        ({"customer": CUSTOMER, "call": table(columns=["account"])}, {"customer", "call"}),
        (
            {"order": table(to="customer"), "item": table(to="order"), "customer": CUSTOMER},
            {"customer", "order", "item"},
        ),
        ({"order": table(to="customer"), "item": table(to="order"), "customer": table(key="account")}, set()),
        ({"call": table(columns=["account"], switch=True), "customer": table(key="account")}, {"call"}),
    ],
    ids=["by an address", "by the account", "through others", "no switch", "not of one account"],
)
def test_restriction_reaches_the_switch_and_what_leads_there(tables: Mapping[str, Table], reached: set[str]) -> None:
    shapes = [each.shape for each in tables_of(Dataset(name="store", tables=tables)).values()]
    assert places_showing_restriction(shapes) == reached


# A table filed by account alone reports where it could not be searched.
SHOP = """
name = "shop"
[tables.reader]
category = "contact"
primary_key = ["id"]
columns = { id = { class = "T" }, email = { class = "A", identity = "email" } }
[tables.bill]
category = "invoice"
primary_key = ["id"]
columns = { id = { class = "T" }, owner = { class = "A", identity = "account_id" } }
"""


def test_categories_not_searched_without_an_account_are_reported(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(SHOP, encoding="utf-8")
    shapes = [each.shape for each in tables_of(Dataset.load(str(tmp_path / "shop.toml"))).values()]
    account = Identity(IdentityType.ACCOUNT_ID, "C-19")
    asked = [task(Operation.EXPORT, email("ada@example.org")), task(Operation.EXPORT, email("b@example.org"), account)]
    without, known = (Coverage(subject_search(each, shapes), shapes) for each in asked)
    assert (without.reason, without.categories, without.by_account) == (
        Unsearched.NO_ACCOUNT,
        ("contact",),
        ("invoice",),
    )
    assert (known.reason, known.categories, known.by_account) == (None, ("contact", "invoice"), ())


# Whose a row is, is declared for every table and every value, or the file is refused with what to write.
DATASET = """
name = "calls"
[tables.calls]
category = "call"
primary_key = ["id"]
tenant = "served"
columns = { id = { class = "T" }, served = { class = "T" }, src = { class = "A", identity = "phone" } }
[tables.notes]
category = "note"
primary_key = ["id"]
ours = true
columns = { id = { class = "T" }, src = { class = "A", identity = "phone" } }
"""
TABLE = '[calls]\nadapter = "sql"\ndsn_env = "DSN"\ndataset = "calls.toml"\nneeds = ["phone"]\n'
OURS, TENANTS = 'ours = ["sip.us"]\n', 'tenants = { acme = ["Sip.Acme", "pbx.acme"], beta = ["sip.beta"] }\n'
DSN = {"DSN": "postgresql://us@127.0.0.1/calls"}


@pytest.mark.parametrize(
    ("dataset", "table", "says"),
    [
        (DATASET, "", r"\[calls\]: the dataset calls tells tenants apart: write ours = "),
        (DATASET, TENANTS, "write ours = "),
        (DATASET, OURS + TENANTS.replace("sip.beta", "SIP.us"), "sip.us is declared of two"),
        (DATASET, OURS + 'tenants = { Acme = ["sip.acme"] }\n', "tenants"),
        (DATASET, OURS + "tenants = { acme = [] }\n", "tenants"),
        (DATASET.replace("ours = true\n", ""), OURS, "notes does not say whose its rows are: write tenant"),
        (DATASET.replace('tenant = "served"\n', 'tenant = "served"\nours = true\n'), OURS, "its rows are not all ours"),
        (DATASET.replace('tenant = "served"', 'tenant = "whose"'), OURS, "tenant names column whose"),
        (DATASET.replace('tenant = "served"\n', ""), OURS, "no table of the dataset calls tells tenants apart"),
    ],
)
def test_row_without_an_owner_column_is_refused(tmp_path: Path, dataset: str, table: str, says: str) -> None:
    (tmp_path / "calls.toml").write_text(dataset)
    with pytest.raises(Misconfigured, match=says):
        load(tmp_path, TABLE + table, DSN)


def test_a_system_is_asked_for_the_customers_that_its_table_names_and_for_no_other(tmp_path: Path) -> None:
    (tmp_path / "calls.toml").write_text(DATASET)
    calls = load(tmp_path, TABLE + OURS + TENANTS, DSN).get("calls")
    assert [calls.separates_tenant(tenant) for tenant in (None, "acme", "beta", "gamma")] == [True, True, True, False]


@pytest.mark.parametrize(
    ("written", "owner"),
    [
        ("sip.us", ""),
        ("SIP.US", ""),
        ("sip.acme", "acme"),
        ("pbx.acme", "acme"),
        ("acme", "?acme"),
        (None, "?"),
        (7, "?7"),
    ],
)
def test_row_belongs_to_its_declared_value_in_any_case(tmp_path: Path, written: object, owner: str) -> None:
    (tmp_path / "calls.toml").write_text(DATASET)
    dataset = Dataset.load(str(tmp_path / "calls.toml"))
    tenants = {"acme": ("Sip.Acme", "pbx.acme")}
    settings = SqlSettings(dsn_env="DSN", dataset="calls.toml", ours=("sip.us",), tenants=tenants)
    calls = next(each for each in tables_of(dataset, {}, Tenancy.of(settings, dataset)).values() if each.table.tenant)
    row: dict[str, object] = dict.fromkeys(calls.columns, "+34600000001")
    row[calls.table.tenant or ""] = written
    record = calls.record(row, (), data=False)
    assert {match.tenant for match in matches(OwnedRecord(record, frozenset({None})))} == {owner}


# A ground is a signed rule: a system's own word counts only as the policy maps it.
TASK = UUID(int=1)
TODAY, UNTIL = date(2026, 10, 1), date(2030, 12, 31)


def kept(ground: str | None) -> Receipt:
    return Receipt(TASK, TaskOutcome.RETAINED, found=3, remaining=3, ground=ground, until=UNTIL)


@pytest.mark.parametrize("word", ["tax_law", "invoices_84m"])
def test_known_word_is_reported_as_its_rule(word: str) -> None:
    result = with_signed_rule(signed_policy(), TODAY, "billing", kept(word))
    assert isinstance(result, Receipt)
    assert (result.outcome, result.ground, result.until) == (TaskOutcome.RETAINED, "invoices_84m", UNTIL)
    assert result.kept == (Kept(category="invoice", rule="invoices_84m", count=3, first=UNTIL, last=UNTIL),)


def test_uncounted_rows_are_not_reported_as_none() -> None:
    result = with_signed_rule(signed_policy(), TODAY, "billing", replace(kept("tax_law"), found=0, remaining=0))
    assert isinstance(result, Receipt)
    assert (result.ground, result.kept) == ("invoices_84m", None)


@pytest.mark.parametrize("word", ["our_schedule_says_so", "legal_obligation", None])
def test_unknown_word_is_manual(word: str | None) -> None:
    result = with_signed_rule(signed_policy(), TODAY, "billing", kept(word))
    assert isinstance(result, GroundInvalid)
    assert result.code == "ground_invalid"
    assert str(word or "does not say why") in failure_sentence(result)


def test_unsigned_rule_is_no_ground() -> None:
    result = with_signed_rule(read_policy(), TODAY, "billing", kept("tax_law"))
    assert isinstance(result, GroundInvalid)
    assert "no valid sign-off" in str(result)


def test_a_rule_whose_sign_off_has_ended_is_no_ground() -> None:
    assert isinstance(with_signed_rule(signed_policy(), date(2075, 1, 1), "billing", kept("tax_law")), GroundInvalid)


def test_what_is_not_kept_needs_no_ground() -> None:
    erased = Receipt(TASK, TaskOutcome.ERASED, found=3, changed=3)
    assert with_signed_rule(read_policy(), TODAY, "billing", erased) is erased


def test_adapter_without_countries_keeps_by_no_countrys_law() -> None:
    policy = signed_policy()
    german = policy.rules["invoices_84m"].model_copy(update={"jurisdiction": "DE", "ground": "17(3)(b)"})
    policy = policy.with_other(rules={**policy.rules, "invoices_84m": german})
    said = Kept(category="invoice", rule="invoices_84m", count=3, first=UNTIL, last=UNTIL)
    own = Receipt(TASK, TaskOutcome.RETAINED, found=3, remaining=3, ground="invoices_84m", until=UNTIL, kept=(said,))
    result = with_signed_rule(policy, TODAY, "crm", own)
    assert isinstance(result, Receipt)
    assert (result.ground, result.kept) == (COUNTRY_UNKNOWN, (said.model_copy(update={"shown": False}),))
    looked = replace(own, kept=(said.model_copy(update={"shown": True}),))
    assert with_signed_rule(policy, TODAY, "shop", looked) == looked, "of each of these rows it has said it"
    assert with_signed_rule(signed_policy(), TODAY, "crm", own) == own, (
        "a rule of our own country is for all that we hold"
    )
    theirs = with_signed_rule(policy, TODAY, "billing", kept("tax_law"))
    assert isinstance(theirs, Receipt)
    assert theirs.ground == "invoices_84m", "who names the law has looked"


def test_the_mark_of_what_stays_is_not_emptied_with_the_rest() -> None:
    columns = {**CONTRACT["columns"], "kept": {"class": "M"}}
    table = Table.model_validate({**CONTRACT, "columns": columns})
    assert "kept" not in {name for part in table_of("contract", table).shape.parts for name, _ in part.blank}
