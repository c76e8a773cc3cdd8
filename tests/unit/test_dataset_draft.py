"""A draft of a dataset lists every column, guesses what it can, decides nothing, and keeps what was decided."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.domain.toml_file import read_toml
from shared.systems.engine.copying import hides_party
from shared.systems.sql.catalog import Catalog, ForeignKey, Relation, SeenColumn
from shared.systems.sql.dataset import Dataset
from shared.systems.sql.drafting import DatasetDraft, DecidedDataset, drift, guess
from shared.systems.sql.notes import schema_for
from shared.systems.sql.postgresql import Postgres
from shared.systems.sql.settings import SHIPPED

Tables = tuple[Relation, tuple[ForeignKey, ...]]


def table(name: str, columns: str, *keys: ForeignKey, primary_key: str = "id", **more: Any) -> Tables:
    """A table of columns as ``id:bigint``, and its foreign keys; ``=`` before a name: it is generated."""
    pairs = [each.partition(":") for each in columns.split()]
    seen = {name.lstrip("="): (type_ or "text", name.startswith("=")) for name, _, type_ in pairs}
    shapes = {name: SeenColumn(type_, generated=made, full_type=type_) for name, (type_, made) in seen.items()}
    place = (more.pop("schema", "public"), name)
    unique = frozenset(frozenset(each.columns) for each in keys if each.deferrable)
    kind = more.pop("kind", "table")
    relation = Relation(place, shapes, kind, tuple(primary_key.split()), unique, **more)
    return relation, tuple(replace(each, child=place) for each in keys)


def key(columns: str, parent: str, to: str = "id", *, unique: bool = False) -> ForeignKey:
    """A foreign key to a table of the schema ``public``; ``unique``: its columns are."""
    name = f"{columns.split(maxsplit=1)[0]}_fk"
    return ForeignKey(name, ("", ""), ("public", parent), tuple(columns.split()), tuple(to.split()), deferrable=unique)


def catalog(*tables: Tables) -> Catalog:
    """Returns the catalog of these tables."""
    keys = tuple(each for _, own in tables for each in own)
    return Catalog({relation.place: relation for relation, _ in tables}, keys, name="shop")


def drafted(*tables: Tables, over: DecidedDataset | None = None, only: tuple[str, ...] = ()) -> str:
    """The text of the draft, which is TOML."""
    text = "\n".join(DatasetDraft(catalog(*tables), "public", only, over or DecidedDataset()).lines())
    tomllib.loads(text)
    return text


CUSTOMER = table("customer", "id:bigint email born:date data:jsonb deleted_at:date odd =mail_key:text")
ORDER = table("purchase", "id:bigint customer_id:bigint total:numeric", key("customer_id", "customer"))


def test_every_column_is_listed_and_none_is_decided() -> None:
    read = tomllib.loads(drafted(CUSTOMER, ORDER))
    for shape, _ in (CUSTOMER, ORDER):
        columns = read["tables"][shape.place[1]]["columns"]
        assert [*columns] == [*shape.columns]
        assert all(each["class"].endswith("?") for each in columns.values())


@pytest.mark.parametrize(
    ("column", "personal", "more"),
    [
        ("email:text", "A", {"identity": "email", "match": "lower"}),
        ("contactEmail:citext", "A", {"identity": "email"}),
        ("mobile_phone:varchar", "A", {"identity": "phone"}),
        ("email_confirmed:boolean", "M", {}),
        ("=mail_key:text", "A", {"identity": "email", "match": "lower", "generated": True}),
        ("name:text", None, {}),
        ("first_name:text", "A", {}),
        ("password:text", "T", {}),
        ("note:text", "C", {}),
        ("data:jsonb", None, {}),
        ("seen_from:inet", "A", {}),
        ("is_deleted:boolean", "T", {}),
        ("hash_of_what:bytea", None, {}),
    ],
)
def test_a_guess_says_what_it_rests_on(column: str, personal: str | None, more: dict[str, Any]) -> None:
    found = guess(table("any", column)[0], (), column.lstrip("=").partition(":")[0])
    assert (found.personal, found.more) == (personal, more)
    assert found.because


def test_a_draft_cannot_be_used_before_each_mark_is_gone(tmp_path: Path) -> None:
    file, text = tmp_path / "shop.toml", drafted(CUSTOMER, ORDER)
    file.write_text(text)
    with pytest.raises(Misconfigured) as refused:
        read_toml(file, Dataset)
    places = {fault.place for fault in refused.value.faults}
    named = {
        f"tables.{shape.place[1]}.columns.{name}.class" for shape, _ in (CUSTOMER, ORDER) for name in shape.columns
    }
    assert places == named | {"tables.customer.category", "tables.purchase.category"}
    assert "is only guessed (A?): write A if it is right, or else what is right" in str(refused.value)
    assert "is not decided, or else what is right" in str(refused.value)
    text = text.replace('category = "?"', 'category = "order"').replace('class = "?"', 'class = "C"')
    file.write_text(re.sub(r'class = "(.)\?"', r'class = "\1"', text))
    assert read_toml(file, Dataset).tables["purchase"].belongs_to[0].table == "customer"


def test_keys_are_followed_to_people_and_doubts_are_reported() -> None:
    text = drafted(
        table("person", "realm no email profile_id:bigint tariff_id:bigint", key("profile_id", "profile", unique=True),
              key("tariff_id", "tariff"), primary_key="realm no"),
        table("profile", "id:bigint about"),
        table("tariff", "id:bigint label"),
        table("account", "id:bigint realm no", key("realm no", "person", "realm no")),
        table("entry", "id:bigint account_id:bigint", key("account_id", "account")),
        table("sale", "id:bigint buyer:bigint clerk:bigint", key("buyer", "account"), key("clerk", "account")),
        table("member", "person_realm person_no grp_id:bigint", key("person_realm person_no", "person", "realm no"),
              key("grp_id", "grp"), primary_key="person_realm person_no grp_id"),
        table("grp", "id:bigint label"),
        table("migration", "id:bigint applied:date"),
    )  # fmt: skip
    read = tomllib.loads(text)["tables"]
    assert {name: each["belongs_to"] for name, each in read.items() if "belongs_to" in each} == {
        "profile": [{"table": "person", "on": {"id": "profile_id"}}],
        "account": [{"table": "person", "on": {"realm": "realm", "no": "no"}}],
        "entry": [{"table": "account", "on": {"account_id": "id"}}],
        "member": [{"table": "person", "on": {"person_realm": "realm", "person_no": "no"}}],
    }
    assert "# it leads to people in several ways" in text
    assert '# belongs_to = [{ table = "account", on = { clerk = "id" } }] (foreign key clerk_fk)' in text
    assert "# rows of person refer to tariff, several to one: shared by people" in text
    assert '# rows of member refer to grp, several to one: shared by people, belongs_to = [{ table = "member"' in text
    assert "from migration to one person: write belongs_to, or delete it" in text


def test_keys_without_constraint_partitions_views_and_what_lacks_a_key_are_named() -> None:
    text = drafted(
        CUSTOMER,
        table("event", "at:date email", primary_key="", kind="partitioned table", partitions=3),
        table("customer_view", "id:bigint email", primary_key="", kind="view"),
        table("customer_copy", "id:bigint email", primary_key="", kind="materialized view"),
    )
    assert "# event is a partitioned table of 3 partitions" in text
    assert "# event has no primary key" in text
    assert "# view customer_view (id, email) shows what is in other tables" in text
    assert "# materialized view customer_copy (id, email) holds a copy of other tables, with erased people" in text
    assert "customer_view" not in tomllib.loads(text)["tables"]


def test_a_second_run_keeps_what_was_decided_and_shows_what_is_new_or_gone() -> None:
    decided = DecidedDataset(
        tables={
            "customer": {
                "category": "account",
                "primary_key": ["id"],
                "columns": {
                    "id": {"class": "T"},
                    "email": {"class": "M"},
                    "shoe": {"class": "M"},
                },
            },
            "older": {"columns": {"id": {"class": "T"}}},
        },
    )
    text = drafted(CUSTOMER, over=decided)
    read = tomllib.loads(text)
    customer = read["tables"]["customer"]
    assert (customer["category"], customer["columns"]["email"]) == ("account", {"class": "M"})
    assert customer["columns"]["odd"]["class"] == "?"
    assert [*read["tables"]] == ["customer", "older"]
    assert 'shoe = { class = "M" }  # gone from the database' in text.replace('"class"', "class")
    assert "# gone from the database: take it out\n[tables.older]" in text
    assert "older" in drafted(CUSTOMER, over=decided, only=("customer",))


def test_a_name_of_a_table_or_column_breaks_no_line_of_a_draft() -> None:
    odd = table("o\n[x]", 'e"mail deleted_at:date\x7f', primary_key="")
    assert [*tomllib.loads(drafted(odd))["tables"]] == ["o\n[x]"]


# What a dataset may say of a store, and what is refused before anything is searched by it.
GOOD = """
name = "calls"
[tables.calls]
category = "call"
primary_key = ["id"]
on_erase = "blank"
at = { happened = "began" }
timezone = "Europe/Madrid"
[tables.calls.parties.caller]
placeholders = ["", "anonymous"]
withheld = { privacy = ["none"] }
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
    ("columns", "other", "leads_on"),
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
def test_store_leads_on_by_foreign_keys(tmp_path: Path, columns: str, other: str, *, leads_on: bool) -> None:
    text = f'name = "shop"\n[tables.customer]\ncategory = "customer"\n{_OWN_KEY.format("customer")}{columns}\n'
    if other:
        key = 'category = "order"\nprimary_key = ["id"]\n[tables.order.columns]\nid = { class = "T" }\n'
        text += f"[tables.order]\n{key}{other}\n"
    assert load(tmp_path, text).leads_on is leads_on


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('identity = "phone", party', "party", "it cannot be searched"),
        ('happened = "began"', 'happened = "start"', "at.happened names column start"),
        ("Europe/Madrid", "Europe/Atlantis", "invalid timezone: Europe/Atlantis"),
        ('primary_key = ["id"]', "primary_key = []", "at least 1 item"),
        ('primary_key = ["id"]', 'primary_key = ["uuid"]', "primary_key names column uuid"),
        ("{ privacy", "{ hidden", "withheld names column hidden"),
        ('party = "callee"', 'party = "operator"', "party operator, which is not declared"),
        (', party = "callee"', "", "say which party's it is"),
        ("[tables.calls.parties.callee]", "", "party callee, which is not declared"),
        ('class = "M", party', 'class = "Z", party', "class"),
        ('on_erase = "blank"', 'on_erase = "forget"', "'delete' or 'blank'"),
        ('class = "T"', 'class = "T", colour = "red"', "colour"),
        ('src = { class = "A"', 'src = { class = "M"', "would tell whether it is left"),
        ('on_erase = "blank"', "restrict = { secret = true }", "a side table"),
        ("id = {", '"" = {', "no name"),
        ('on_erase = "blank"', 'country = "where"', "country names column where, which is not"),
        ('on_erase = "blank"', 'country = "privacy"', "goes with party caller: leave its party out"),
        ('name = "calls"', "name = ", "not TOML"),
    ],
)
def test_invalid_dataset_names_its_remedy(tmp_path: Path, before: str, after: str, says: str) -> None:
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
on_erase = "blank"
[tables.message.parties.sender]
belongs_to = [{ table = "account", on = { sender = "id", realm = "realm" } }]
[tables.message.parties.receiver]
belongs_to = [{ table = "account", on = { receiver = "id", realm = "realm" } }]
[tables.message.columns]
id = { class = "T" }
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
            GOOD,
            'began = { class = "M"',
            'began = { class = "M", party = "caller"',
            "column began finds party callee, and goes with party caller",
        ),
    ],
)
def test_index_of_one_party_stays_alone(tmp_path: Path, good: str, before: str, after: str, says: str) -> None:
    load(tmp_path, good)
    assert before in good
    with pytest.raises(Misconfigured, match=says):
        load(tmp_path, good.replace(before, after))


def test_all_mistakes_of_a_table_are_reported_together(tmp_path: Path) -> None:
    wrong = {
        '["id"]': '["uuid"]',
        'happened = "began"': 'happened = "start"',
        ', party = "callee"': "",
        '"A", ': '"M", ',
    }
    text = GOOD
    for before, after in wrong.items():
        text = text.replace(before, after)
    with pytest.raises(Misconfigured) as refused:
        load(tmp_path, text)
    assert {fault.place for fault in refused.value.faults} == {"tables.calls"}
    assert [fault.says for fault in refused.value.faults] == [
        "primary_key names column uuid, which is not declared",
        "at.happened names column start, which is not declared",
        "column dst holds an identity; say which party's it is",
        "party caller has no column of class A, so nothing would tell whether it is left",
        "party callee has no column of class A, so nothing would tell whether it is left",
        "on_erase = blank leaves dst, by which its person is found: give it class A",
    ]


@pytest.mark.parametrize(
    "said", ["id", "ID", "full", "user", "header;session", "none;id", "id;critical", "new-word", 7]
)
def test_whatever_a_caller_says_of_privacy_but_none_hides_them(tmp_path: Path, said: object) -> None:
    withheld = load(tmp_path, GOOD).tables["calls"].parties["caller"].withheld
    assert hides_party(said, withheld["privacy"])
    assert not any(
        hides_party(shown, withheld["privacy"]) for shown in (None, "", "none", "None", " none ", "none; none")
    )


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
    server = Postgres("shop", "postgresql://u@localhost/shop")
    assert server.quoted('a"; DROP TABLE b; --') == '"a""; DROP TABLE b; --"'
    assert server.literal("it's") == "'it''s'"
    assert server.literal("\\' OR true") == "E'\\\\'' OR true'"


MORE = """
[tables.archive]
category = "call"
primary_key = ["id"]
at = { happened = "began" }
timezone = "Europe/Madrid"
[tables.archive.columns]
id = { class = "T" }
began = { class = "M", label = "started", explain = "%s" }
src = { class = "A", identity = "phone" }
privacy = { class = "M", explain = "whether the number was hidden" }
"""


def test_meaning_of_a_column_needs_the_explanation_of_every_table(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD + MORE % "when it began").legend() == {"call": {"started": "when it began"}}
    assert load(tmp_path, GOOD + MORE % "when it rang").legend() == {
        "call": {"started": "when it began / when it rang"}
    }


# Differences between a database and its dataset, table by table.
COLUMNS = {
    "id": {"class": "T"},
    "email": {"class": "A", "identity": "email"},
    "data": {"class": "T"},
}
DATASET = Dataset.model_validate(
    {
        "name": "shop",
        "tables": {"customer": {"category": "account", "primary_key": ["id"], "columns": COLUMNS}},
    }
)
CUSTOMER_READ, MIGRATION = table("customer", "id:bigint email data:jsonb"), table("migration", "id:int")


@pytest.mark.parametrize(
    ("tables", "differs"),
    [
        ([CUSTOMER_READ, MIGRATION], []),
        ([table("customer", "id:bigint email data:jsonb born:date")], [("column_new", "public.customer", "born")]),
        ([table("customer", "id:bigint data:jsonb")], [("column_gone", "public.customer", "email")]),
        ([MIGRATION], [("table_gone", "public.customer", None)]),
        ([CUSTOMER_READ, table("order", "id:int")], [("table_new", "public.order", None)]),
        ([CUSTOMER_READ, table("order", "id:int", schema="far")], []),
        ([CUSTOMER_READ, table("customer_view", "id:int", kind="view")], []),
        (
            [CUSTOMER_READ, table("order", "id:int who:int", key("who", "customer"), schema="far")],
            [("table_refers", "far.order", None)],
        ),
        (
            [CUSTOMER_READ, table("migration", "id:int who:int", key("who", "customer"))],
            [("table_refers", "public.migration", None)],
        ),
    ],
)
def test_each_difference_is_reported_once_with_a_remedy(tables: list[Tables], differs: list[tuple[Any, ...]]) -> None:
    found = drift(DATASET, catalog(*tables), "public", ["migration"])
    assert [(each.kind, each.table, each.column) for each in found] == differs
    assert all(each.says for each in found)


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


def test_connection_string_without_a_user_is_reported() -> None:
    with pytest.raises(Misconfigured, match="names no user; write postgresql://USER@HOST/DATABASE"):
        schema_for("postgresql://db/cdr")


# Joins from a table to the person: one that leads to no person is refused by name.
JOINED = """
name = "shop"
[tables.customer]
category = "account"
primary_key = ["id"]
columns = { id = { class = "T" }, email = { class = "A", identity = "email" } }
[tables.order]
category = "order"
primary_key = ["id"]
belongs_to = [{ table = "customer", on = { customer_id = "id" } }]
columns = { id = { class = "T" }, customer_id = { class = "T" } }
"""
TO_ORDER = 'primary_key = ["id"]\nbelongs_to = [{ table = "order", on = { id = "customer_id" } }]'


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('{ table = "customer"', '{ table = "client"', "order belongs to client, which is not declared"),
        ("{ customer_id =", "{ client =", "belongs_to names column client"),
        (
            'on = { customer_id = "id" }',
            'on = { customer_id = "id" }, party = "buyer"',
            "party buyer, which it has not",
        ),
        ("belongs_to = [{", 'states.dispute = { column = "id" }\nbelongs_to = [{', "needs either in = "),
        ("belongs_to = [{", 'on_erase = "blank"\nbelongs_to = [{', "leaves customer_id, by which its person is found"),
        (
            'belongs_to = [{ table = "customer", on = { customer_id = "id" } }]\n',
            "",
            "table which does, as belongs_to = ",
        ),
        ('primary_key = ["id"]', TO_ORDER, "belongs_to leads round in a circle"),
    ],
)
def test_path_that_leads_to_no_person_is_refused_by_name(tmp_path: Path, before: str, after: str, says: str) -> None:
    load(tmp_path, JOINED)
    with pytest.raises(Misconfigured, match=says):
        load(tmp_path, JOINED.replace(before, after, 1))
