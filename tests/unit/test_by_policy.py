"""What the policy does with a category on the day of an erasure is declared in the dataset, or refused by name."""

from dataclasses import replace
from pathlib import Path

import pytest

from shared.domain.errors import NotSupported
from shared.domain.operations import Operation
from shared.domain.policy import OnErasure, read_policy
from shared.downstreams.downstream import Downstream
from shared.downstreams.roundup.adapter import RoundupAdapter
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.keeping.by_policy import undeclared
from shared.downstreams.sql.mariadb.unsupported import kept_by_policy
from shared.downstreams.states import with_states
from shared.downstreams.tryton.party import CATEGORIES as TRYTON
from shared.fulfilment.withdrawn import by_hand
from tests.fixtures.engine import ScriptedSystem
from tests.fixtures.policy import doing, signed_policy

TRACKER = RoundupAdapter.categories

TEXT = """
name = "shop"
[tables.visit]
category = "analytics"
primary_key = ["id"]
anchors = { event_time = { column = "at" } }
{more}
[tables.visit.columns]
id = { class = "T" }
at = { class = "M" }
email = { class = "A", identity = "email"{party} }
"""
ANONYMISE = 'anonymise = { blank = ["email"], redraw = ["id"], coarsen = { at = "month" } }'
PARTIES = "parties = { a = {}, b = {} }"


def dataset(tmp_path: Path, more: str = "") -> Dataset:
    party = ', party = "a"' if "parties" in more else ""
    text = TEXT.replace("{more}", more).replace("{party}", party)
    if "kept =" in more:
        text += 'k = { class = "T" }\n'
    if party:
        text += 'other = { class = "A", party = "b" }\n'
        text = text.replace('blank = ["email"]', 'blank = ["email", "other"]')
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
        ("keep", True, "", "declare anchors.event_time and keeps"),
        ("restrict", True, "", "declare anchors.event_time and keeps"),
        ("anonymise", False, "", "declare anonymise"),
        ("anonymise", False, ANONYMISE, None),
        ("anonymise", False, f'{ANONYMISE}\n{PARTIES}\nerase = "blank"', "several people are in a row"),
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
def test_a_field_of_a_rule_that_no_column_declares_is_said_by_name_and_takes_nothing_from_a_row(
    tmp_path: Path, said: str, missing: str | None
) -> None:
    kept = 'occurred = { column = "at" }\nkept = { column = "k", value = true }'
    more = f"{kept}\nkeeps = {{ fields = {{ {said} }} }}"
    policy = doing(folder(tmp_path), "restrict", ruled=True)
    rule = policy.rules["visits"].model_copy(update={"fields": frozenset({"a", "b"})})
    policy = policy.with_other(rules={**policy.rules, "visits": rule})
    found = list(undeclared(dataset(tmp_path, more), policy))
    assert [each.partition(" is, which")[0] for each in found] == (
        [f"visit.keeps does not say where {missing}"] if missing else []
    )


@pytest.mark.parametrize(("on_erasure", "by_hand"), [("delete", False), ("keep", True), ("anonymise", True)])
def test_on_mariadb_a_person_does_what_is_not_deleting(tmp_path: Path, on_erasure: str, *, by_hand: bool) -> None:
    assert bool([*kept_by_policy(dataset(tmp_path), doing(folder(tmp_path), on_erasure))]) is by_hand


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
    deletes.__dict__["on_erasure"] = frozenset({OnErasure.DELETE})
    for adapter, undone in ((deletes, alone), (ScriptedSystem("crm"), with_rules)):
        system = Downstream("it", frozenset(), adapter=adapter, categories=frozenset({"analytics_event", "contact"}))
        system = replace(system, undone=system.not_done_by(policy))
        assert system.undone == ({"analytics_event"} if undone else set())
        asked = [by_hand(system, operation, None, {}) for operation in (Operation.ERASE, Operation.PLAN)]
        assert [isinstance(each, NotSupported) for each in asked] == [undone, undone]
        assert by_hand(system, Operation.EXPORT, None, {}) is None, "it is shown all the same"
        assert by_hand(system, Operation.ERASE, "acme", {}) is None, "what a customer decides about is theirs"


def test_nothing_of_the_demonstrations_systems_is_left_to_a_person_by_the_policy_as_shipped() -> None:
    for policy in (read_policy(), signed_policy()):
        for categories in (TRYTON, TRACKER):
            adapter = ScriptedSystem("it")
            adapter.__dict__["on_erasure"] = frozenset({OnErasure.DELETE})
            assert not Downstream("it", frozenset(), adapter=adapter, categories=frozenset(categories)).not_done_by(
                policy
            )


@pytest.mark.parametrize(
    ("crm", "untold"),
    [(None, {"contract_active"}), (True, set()), (False, {"contract_active"})],
)
def test_what_is_kept_while_a_state_lasts_that_nobody_tells_is_left_to_a_person(
    untold: set[str], *, crm: bool | None
) -> None:
    store, telling = ScriptedSystem("shop"), ScriptedSystem("crm")
    store.__dict__["knows_no_states"] = True
    telling.__dict__["tells"] = frozenset({"contract_active"})
    systems = [Downstream("shop", frozenset(), adapter=store, categories=frozenset({"contact", "ticket"}))]
    if crm is not None:
        contact = frozenset({"contact"})
        systems.append(Downstream("crm", frozenset(), adapter=telling, enabled=crm, categories=contact))
    for policy in (read_policy(), signed_policy()):
        shop, *others = with_states(systems, policy)
        assert shop.untold == untold
        assert not any(each.untold for each in others)
        asked = [by_hand(shop, operation, None, {}) for operation in (Operation.ERASE, Operation.PLAN)]
        assert [isinstance(each, NotSupported) for each in asked] == [bool(untold)] * 2
        assert shop.may_refuse, "it is asked before anything is erased anywhere"
        assert shop.rests_on == {"contract_active"} - untold, "and after whoever tells"
        assert by_hand(shop, Operation.EXPORT, None, {}) is None


def test_what_has_to_be_declared_for_a_store_of_invoices_alone_is_named_state_by_state() -> None:
    store = ScriptedSystem("shop")
    store.__dict__["knows_no_states"] = True
    shop = Downstream("shop", frozenset(), adapter=store, categories=frozenset({"invoice"}))
    (shop,) = with_states([shop], read_policy())
    assert [each.partition(" or take ")[2] for each in shop.to_declare] == [
        "active_contract out of kept_by of categories.invoice",
        "dispute out of kept_by of categories.invoice",
        "open_invoice out of kept_by of categories.invoice",
    ]
    for state, reason in (("contract_active", "active_contract"), ("disputed", "dispute")):
        declare = f'for {state} declare refuse_when with reason = "{reason}" on a table or resource of whichever system'
        assert any(each.startswith(declare) for each in shop.to_declare)
    [said] = shop.by_person
    assert all(each in said for each in shop.to_declare)
    assert said.endswith("; or a person does each erasure")
    telling = ScriptedSystem("crm")
    telling.__dict__["tells"] = frozenset({"contract_active", "disputed", "invoice_open"})
    crm = Downstream("crm", frozenset(), adapter=telling, categories=frozenset({"contact"}))
    assert [each.by_person for each in with_states([shop, crm], read_policy())] == [[], []]
