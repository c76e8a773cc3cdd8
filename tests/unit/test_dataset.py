"""What a dataset may say of a store, and what is refused before anything is searched by it."""

import re
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel

from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.downstreams.sql.declaration.anonymisation import Anonymisation
from shared.downstreams.sql.declaration.columns import Column
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.declared import (
    Constant,
    Join,
    Keeping,
    Occurred,
    Party,
    Period,
    Refusal,
    RowSwitch,
    RowTest,
    SideTable,
    Switch,
    Withheld,
)
from shared.downstreams.sql.declaration.jurisdiction import Jurisdiction
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.dialects import schema_for
from shared.downstreams.sql.drafting.commands import drift
from shared.downstreams.sql.drafting.shapes import Shapes, TableShape
from shared.downstreams.sql.quoting import literal, quoted
from shared.downstreams.sql.settings import SHIPPED, SqlSettings
from tests.unit.test_dataset_draft import key, table

GOOD = """
name = "calls"
[tables.calls]
category = "call"
primary_key = ["id"]
erase = "blank"
occurred = { column = "began", timezone = "Europe/Madrid" }
[tables.calls.parties.caller]
nobody = ["", "anonymous"]
withheld = { column = "privacy" }
[tables.calls.parties.callee]
[tables.calls.columns]
id = { class = "T" }
began = { class = "M", label = "started", explain = "when it began" }
src = { class = "A", identity = "phone", party = "caller" }
dst = { class = "A", identity = "phone", party = "callee" }
privacy = { class = "M", party = "caller" }
secret = { class = "T" }
"""


def load(tmp_path: Path, text: str) -> Dataset:
    path = tmp_path / "calls.toml"
    path.write_text(text, encoding="utf-8")
    return Dataset.load(str(path))


def test_a_dataset_says_what_every_column_holds_about_whom(tmp_path: Path) -> None:
    table = load(tmp_path, GOOD).tables["calls"]
    assert list(table.searched) == ["src", "dst"]
    assert table.types == (IdentityType.PHONE,)
    assert list(table.fields_of("caller")) == ["src", "privacy"]
    assert table.timezone == ZoneInfo("Europe/Madrid")


def test_every_dataset_that_ships_can_be_used() -> None:
    shipped = [Dataset.load(path.stem) for path in sorted(SHIPPED.glob("*.toml"))]
    assert [dataset.name for dataset in shipped] == [path.stem for path in sorted(SHIPPED.glob("*.toml"))]
    assert all(label for dataset in shipped for labels in dataset.legend().values() for label in labels.values())


_OWN_KEY = (
    'primary_key = ["id"]\n[tables.{0}.columns]\nid = {{ class = "A", identity = "account_id", yields = true }}\n'
)


@pytest.mark.parametrize(
    ("columns", "beside", "leads_on"),
    [
        ('email = { class = "A", identity = "email" }', "", False),
        (
            'email = { class = "A", identity = "email" }\nname = { class = "A", identity = "name", yields = true }',
            "",
            False,
        ),
        ('email = { class = "A", identity = "email", yields = true }', "", True),
        ('email = { class = "A", identity = "email" }', 'owner = { class = "A", identity = "account_id" }', True),
        ('email = { class = "A", identity = "email" }', 'mail = { class = "A", identity = "email" }', False),
    ],
    ids=["its own key", "a name", "an address", "a table with the account", "a table with the address"],
)
def test_a_store_leads_on_unless_all_that_its_rows_tell_of_somebody_is_their_own_key(
    tmp_path: Path, columns: str, beside: str, *, leads_on: bool
) -> None:
    text = f'name = "shop"\n[tables.customer]\ncategory = "customer"\n{_OWN_KEY.format("customer")}{columns}\n'
    if beside:
        key = 'category = "order"\nprimary_key = ["id"]\n[tables.order.columns]\nid = { class = "T" }\n'
        text += f"[tables.order]\n{key}{beside}\n"
    assert load(tmp_path, text).leads_on is leads_on


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('identity = "phone", party', "party", "nobody could be found"),
        ('"began", timezone', '"start", timezone', "occurred names column start"),
        ("Europe/Madrid", "Europe/Atlantis", "invalid timezone: Europe/Atlantis"),
        ('primary_key = ["id"]', "primary_key = []", "at least 1 item"),
        ('primary_key = ["id"]', 'primary_key = ["uuid"]', "primary_key names column uuid"),
        ('"privacy" }', '"hidden" }', "withheld names column hidden"),
        ('party = "callee"', 'party = "operator"', "party operator, which is not declared"),
        (', party = "callee"', "", "say which party's it is"),
        ("[tables.calls.parties.callee]", "", "party callee, which is not declared"),
        ('class = "M", party', 'class = "Z", party', "class"),
        ('erase = "blank"', 'erase = "forget"', "'delete' or 'blank'"),
        ('class = "T"', 'class = "T", colour = "red"', "colour"),
        ('src = { class = "A"', 'src = { class = "M"', "would tell whether it is left"),
        ('erase = "blank"', 'restriction = { column = "secret", value = true }', "beside the data"),
        ("id = {", '"" = {', "no name"),
        ('erase = "blank"', 'jurisdiction = { column = "where" }', "jurisdiction names column where, which is not"),
        ('erase = "blank"', 'jurisdiction = { column = "privacy" }', "goes with party caller: leave its party out"),
        ('erase = "blank"', 'jurisdiction = { column = "secret", words = { x = "XX" } }', "XX is no country"),
        ('name = "calls"', "name = ", "not TOML"),
    ],
)
def test_a_dataset_that_cannot_be_right_is_refused_with_what_to_change(
    tmp_path: Path, before: str, after: str, says: str
) -> None:
    assert before in GOOD
    with pytest.raises(Misconfigured, match=says):
        load(tmp_path, GOOD.replace(before, after))


TWO_KEYS = """
name = "mail"
[tables.account]
category = "account"
primary_key = ["id"]
columns = { id = { class = "T" }, realm = { class = "T" }, email = { class = "A", identity = "email" } }
[tables.message]
category = "message"
primary_key = ["id"]
erase = "blank"
where = [{ column = "kind", in = ["mail"] }]
[tables.message.parties.sender]
via = [{ table = "account", on = { sender = "id", realm = "realm" } }]
[tables.message.parties.receiver]
via = [{ table = "account", on = { receiver = "id", realm = "realm" } }]
[tables.message.columns]
id = { class = "T" }
kind = { class = "T" }
realm = { class = "T" }
sender = { class = "A", party = "sender" }
receiver = { class = "A", party = "receiver" }
"""


@pytest.mark.parametrize(
    ("good", "before", "after", "says"),
    [
        (
            TWO_KEYS,
            'on = { receiver = "id", realm = "realm" }',
            'on = { receiver = "id", sender = "id" }',
            "column sender finds party receiver, and goes with party sender: leave its party out",
        ),
        (
            TWO_KEYS,
            'realm = { class = "T" }\nsender',
            'realm = { class = "A", party = "sender" }\nsender',
            "column realm finds party receiver, and goes with party sender",
        ),
        (
            TWO_KEYS,
            'kind = { class = "T" }',
            'kind = { class = "M", party = "sender" }',
            "column kind finds party receiver, and goes with party sender",
        ),
        (
            GOOD,
            'began = { class = "M"',
            'began = { class = "M", party = "caller"',
            "column began finds party callee, and goes with party caller",
        ),
    ],
)
def test_what_finds_one_party_of_a_row_must_not_go_with_another(
    tmp_path: Path, good: str, before: str, after: str, says: str
) -> None:
    load(tmp_path, good)
    assert before in good
    with pytest.raises(Misconfigured, match=says):
        load(tmp_path, good.replace(before, after))


def test_all_that_is_wrong_with_one_table_is_told_at_once(tmp_path: Path) -> None:
    wrong = {'["id"]': '["uuid"]', '"began", timezone': '"start", timezone', ', party = "callee"': "", '"A", ': '"M", '}
    text = GOOD
    for before, after in wrong.items():
        text = text.replace(before, after)
    with pytest.raises(Misconfigured) as refused:
        load(tmp_path, text)
    assert {fault.place for fault in refused.value.faults} == {"tables.calls"}
    assert [fault.says for fault in refused.value.faults] == [
        "primary_key names column uuid, which is not declared",
        "occurred names column start, which is not declared",
        "column dst holds an identity; say which party's it is",
        "party caller has no column of class A, so nothing would tell whether it is left",
        "party callee has no column of class A, so nothing would tell whether it is left",
        "erase = blank leaves dst, by which its person is found: give it class A",
    ]


@pytest.mark.parametrize(
    "said", ["id", "ID", "full", "user", "header;session", "none;id", "id;critical", "new-word", 7]
)
def test_whatever_a_caller_says_of_privacy_but_none_hides_them(tmp_path: Path, said: object) -> None:
    withheld = load(tmp_path, GOOD).tables["calls"].parties["caller"].withheld
    assert withheld is not None
    assert withheld.hides(said)
    assert not any(withheld.hides(shown) for shown in (None, "", "none", "None", " none ", "none; none"))


def test_a_column_about_another_person_without_a_party_is_never_shown_and_is_named(tmp_path: Path) -> None:
    lone = GOOD.replace(
        'id = { class = "T" }',
        'id = { class = "T" }\npeer = { class = "B" }\ntheirs = { class = "B", party = "callee" }',
    )
    dataset = load(tmp_path, lone)
    columns = dataset.tables["calls"].columns
    assert (columns["peer"].shown, columns["theirs"].shown) == (False, True)
    assert dataset.unattributed == ("calls.peer",)


def test_a_dataset_that_is_not_there_is_named() -> None:
    with pytest.raises(Misconfigured, match="asterisk_of_tomorrow"):
        Dataset.load("asterisk_of_tomorrow")


def test_what_a_dataset_names_cannot_break_out_of_its_place() -> None:
    assert quoted('a"; DROP TABLE b; --') == '"a""; DROP TABLE b; --"'
    assert literal("it's") == "'it''s'"
    assert literal("\\' OR true") == "E'\\\\'' OR true'"
    assert literal(None) == "NULL"


def test_every_key_of_a_dataset_is_on_its_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "plug-in" / "sql.md").read_text(encoding="utf-8")
    models: list[type[BaseModel]] = [
        Dataset,
        Table,
        Column,
        Party,
        Withheld,
        Occurred,
        Period,
        Switch,
        RowSwitch,
        SideTable,
        Keeping,
    ]
    models += [Join, Constant, RowTest, Refusal, Anonymisation, Jurisdiction]
    keys = {field.alias or name for m in models for name, field in m.model_fields.items()}
    keys |= SqlSettings.model_fields.keys() - {"adapter"}
    missing = [key for key in sorted(keys) if not re.search(rf"[`{{ ,\\n]{key}(`| =)", page)]
    assert not missing


MORE = """
[tables.archive]
category = "call"
primary_key = ["id"]
occurred = { column = "began", timezone = "Europe/Madrid" }
[tables.archive.columns]
id = { class = "T" }
began = { class = "M", label = "started", explain = "%s" }
src = { class = "A", identity = "phone" }
privacy = { class = "M", explain = "whether the number was hidden" }
"""


def test_what_a_column_means_is_told_of_a_kind_of_data_only_if_every_table_of_it_says_so(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD + MORE % "when it began").legend() == {"call": {"started": "when it began"}}
    assert load(tmp_path, GOOD + MORE % "when it rang").legend() == {
        "call": {"started": "when it began / when it rang"}
    }


# In what a database has drifted from its dataset is told table by table, and what is still the same is not.
COLUMNS = {
    "id": {"class": "T", "type": "bigint"},
    "email": {"class": "A", "identity": "email", "type": "text"},
    "data": {"class": "T"},
    "town": {"class": "M", "json": "data"},
}
DATASET = Dataset.model_validate(
    {
        "name": "shop",
        "impersonal": {"migration": ["id"]},
        "tables": {"customer": {"category": "account", "primary_key": ["id"], "columns": COLUMNS}},
    }
)
CUSTOMER, MIGRATION = table("customer", "id:bigint email data:jsonb"), table("migration", "id:int")


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ([CUSTOMER, MIGRATION], []),
        ([table("customer", "id:bigint email data:jsonb born:date")], [("column_new", "public.customer", "born")]),
        ([table("customer", "id:bigint data:jsonb")], [("column_gone", "public.customer", "email")]),
        ([table("customer", "id:text email data:text")], [("type_changed", "public.customer", "id")]),
        ([MIGRATION], [("table_gone", "public.customer", None)]),
        ([CUSTOMER, table("order", "id:int")], [("table_new", "public.order", None)]),
        ([CUSTOMER, table("order", "id:int", schema="far")], []),
        ([CUSTOMER, table("customer_view", "id:int", kind="view")], []),
        ([CUSTOMER, table("migration", "id:int by")], [("column_new", "public.migration", "by")]),
        (
            [CUSTOMER, table("order", "id:int who:int", key("who", "customer"), schema="far")],
            [("table_refers", "far.order", None)],
        ),
        (
            [CUSTOMER, table("migration", "id:int who:int", key("who", "customer"))],
            [("table_refers", "public.migration", None)],
        ),
    ],
)
def test_each_difference_is_told_once_with_what_to_do(tables: list[TableShape], told: list[tuple[Any, ...]]) -> None:
    found = drift(DATASET, Shapes("shop", {each.place: each for each in tables}), ["public"])
    assert [(each.kind, each.table, each.column) for each in found] == told
    assert all(each.says for each in found)


def test_a_table_is_about_people_or_about_nobody_and_not_both() -> None:
    declared = DATASET.model_dump(by_alias=True, exclude_unset=True)
    with pytest.raises(ValueError, match="table customer is declared, and impersonal names it too"):
        Dataset.model_validate({**declared, "impersonal": {"customer": ["id"]}})


# What the owner of a SQL store runs is for the user of the connection string, and says nothing else of it.
@pytest.mark.parametrize(
    ("dsn", "role"),
    [
        ("postgresql://cdr_privacy:s3cret@db/cdr", '"cdr_privacy"'),
        ("postgresql:///cdr?host=/run/postgresql&user=cdr_privacy", '"cdr_privacy"'),
        ("postgresql://o%22%3B%20DROP%20TABLE%20x@db/cdr", '"o""; DROP TABLE x"'),
    ],
)
def test_the_grants_are_for_the_user_whom_the_connection_string_names(dsn: str, role: str) -> None:
    printed = schema_for(dsn)
    assert f"ON dsr_platform.progress TO {role};\n" in printed
    assert "s3cret" not in printed


def test_a_connection_string_without_a_user_is_told_as_one() -> None:
    with pytest.raises(Misconfigured, match="names no user; write postgresql://USER@HOST/DATABASE"):
        schema_for("postgresql://db/cdr")


# Paths from a table of a dataset to the person: one that leads to nobody is refused by name.
JOINED = """
name = "shop"
[tables.customer]
category = "account"
primary_key = ["id"]
columns = { id = { class = "T" }, email = { class = "A", identity = "email" } }
[tables.order]
category = "order"
primary_key = ["id"]
via = [{ table = "customer", on = { customer_id = "id" } }]
columns = { id = { class = "T" }, customer_id = { class = "T" } }
"""
TO_ORDER = 'primary_key = ["id"]\nvia = [{ table = "order", on = { id = "customer_id" } }]'


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('{ table = "customer"', '{ table = "client"', "via ends at client, which is not declared"),
        ("{ customer_id =", "{ client =", "via names column client"),
        ('"id" } }]', '{ is = "5" } } }]', "the join with customer names no column of it"),
        (
            'on = { customer_id = "id" }',
            'on = { customer_id = "id" }, party = "buyer"',
            "party buyer, which it has not",
        ),
        ("via = [{", 'where = [{ column = "id" }]\nvia = [{', "needs either in = "),
        ("via = [{", 'erase = "blank"\nvia = [{', "leaves customer_id, by which its person is found"),
        ('via = [{ table = "customer", on = { customer_id = "id" } }]\n', "", "table which does, as via = "),
        ('primary_key = ["id"]', TO_ORDER, "via leads round in a circle"),
    ],
)
def test_a_path_that_leads_to_nobody_is_refused_by_name(tmp_path: Path, before: str, after: str, says: str) -> None:
    load(tmp_path, JOINED)
    with pytest.raises(Misconfigured, match=says):
        load(tmp_path, JOINED.replace(before, after, 1))
