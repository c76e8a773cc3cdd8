"""A draft of a dataset lists every column, guesses what it can, decides nothing, and keeps what was decided."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.toml_file import read_toml
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.drafting.draft import Decided, Draft
from shared.downstreams.sql.drafting.guesses import guess
from shared.downstreams.sql.drafting.shapes import ColumnShape, KeyShape, Shapes, TableShape


def table(name: str, columns: str, *keys: KeyShape, primary_key: str = "id", **more: Any) -> TableShape:
    """A table of columns as ``id:bigint``; ``=`` before a name: it is generated."""
    pairs = [each.partition(":") for each in columns.split()]
    shapes = tuple(ColumnShape(name.lstrip("="), type_ or "text", name.startswith("=")) for name, _, type_ in pairs)
    return TableShape((more.pop("schema", "public"), name), shapes, tuple(primary_key.split()), keys, **more)


def key(columns: str, parent: str, to: str = "id", *, unique: bool = False) -> KeyShape:
    """A foreign key to a table of the schema ``public``."""
    return KeyShape(
        f"{columns.split(maxsplit=1)[0]}_fk", tuple(columns.split()), ("public", parent), tuple(to.split()), unique
    )


def drafted(*tables: TableShape, over: Decided | None = None, only: tuple[str, ...] = ()) -> str:
    """The text of the draft, which is TOML."""
    shapes = Shapes("shop", {each.place: each for each in tables})
    text = "\n".join(Draft(shapes, ["public"], only, over or Decided()).lines())
    tomllib.loads(text)
    return text


CUSTOMER = table("customer", "id:bigint email born:date data:jsonb deleted_at:date odd =mail_key:text")
ORDER = table("purchase", "id:bigint customer_id:bigint total:numeric", key("customer_id", "customer"))


def test_every_column_is_listed_and_none_is_decided() -> None:
    read = tomllib.loads(drafted(CUSTOMER, ORDER))
    for shape in (CUSTOMER, ORDER):
        columns = read["tables"][shape.name]["columns"]
        assert [*columns] == [column.name for column in shape.columns]
        assert all(each["class"].endswith("?") for each in columns.values())


@pytest.mark.parametrize(
    ("column", "personal", "more"),
    [
        (ColumnShape("email", "text"), "A", {"identity": "email", "match": "lower"}),
        (ColumnShape("contactEmail", "citext"), "A", {"identity": "email"}),
        (ColumnShape("mobile_phone", "character varying"), "A", {"identity": "phone"}),
        (ColumnShape("email_confirmed", "boolean"), "M", {}),
        (
            ColumnShape("mail_key", "text", generated=True),
            "A",
            {"identity": "email", "match": "lower", "generated": True},
        ),
        (ColumnShape("name", "text"), None, {}),
        (ColumnShape("first_name", "text"), "A", {}),
        (ColumnShape("password", "text"), "T", {}),
        (ColumnShape("note", "text"), "C", {}),
        (ColumnShape("data", "jsonb"), None, {}),
        (ColumnShape("seen_from", "inet"), "A", {}),
        (ColumnShape("is_deleted", "boolean"), "T", {}),
        (ColumnShape("hash_of_what", "bytea"), None, {}),
    ],
)
def test_a_guess_says_what_it_rests_on(column: ColumnShape, personal: str | None, more: dict[str, Any]) -> None:
    found = guess(table("any", "id:bigint"), column)
    assert (found.personal, found.more) == (personal, more)
    assert found.because


def test_a_draft_cannot_be_used_before_each_mark_is_gone(tmp_path: Path) -> None:
    file, text = tmp_path / "shop.toml", drafted(CUSTOMER, ORDER)
    file.write_text(text)
    with pytest.raises(Misconfigured) as refused:
        read_toml(file, Dataset)
    places = {fault.place for fault in refused.value.faults}
    told = {
        f"tables.{shape.name}.columns.{column.name}.class" for shape in (CUSTOMER, ORDER) for column in shape.columns
    }
    assert places == told | {"tables.customer.category", "tables.purchase.category"}
    assert "is only guessed (A?): write A if it is right, or else what is right" in str(refused.value)
    assert "is not decided, or else what is right" in str(refused.value)
    text = text.replace('category = "?"', 'category = "order"').replace('class = "?"', 'class = "C"')
    file.write_text(re.sub(r'class = "(.)\?"', r'class = "\1"', text))
    assert read_toml(file, Dataset).tables["purchase"].via[0][0].table == "customer"


def test_keys_are_followed_to_people_and_what_is_not_sure_is_told_instead() -> None:
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
    assert {name: each["via"] for name, each in read.items() if "via" in each} == {
        "profile": [{"table": "person", "on": {"id": "profile_id"}}],
        "account": [{"table": "person", "on": {"realm": "realm", "no": "no"}}],
        "entry": [{"table": "account", "on": {"account_id": "id"}}],
        "member": [{"table": "person", "on": {"person_realm": "realm", "person_no": "no"}}],
    }
    assert "# it leads to people in several ways" in text
    assert '# via = [{ table = "account", on = { clerk = "id" } }] (foreign key clerk_fk)' in text
    assert "# rows of person refer to tariff, several to one: shared by people" in text
    assert '# rows of member refer to grp, several to one: shared by people, via = [{ table = "member"' in text
    assert 'write impersonal = { migration = ["id", "applied"] }' in text


def test_keys_without_constraint_partitions_views_and_what_lacks_a_key_are_named() -> None:
    text = drafted(
        CUSTOMER,
        table("django_content_type", "id:int app_label model"),
        table("log", "id:int content_type_id:int object_id", key("content_type_id", "django_content_type")),
        table("remark", "id:int owner_type owner_id:bigint"),
        table("event", "at:date email", primary_key="", kind="partitioned table", partitions=3),
        table("customer_view", "id:bigint email", primary_key="", kind="view"),
        table("customer_copy", "id:bigint email", primary_key="", kind="materialized view"),
    )
    assert 'object_id = "id", content_type_id = { is = "WORD" }' in text
    assert 'on = { owner_id = "id", owner_type = { is = "WORD" } }' in text
    assert "# event is a partitioned table of 3 partitions" in text
    assert "# event has no primary key" in text
    assert "# view customer_view (id, email) shows what is in other tables" in text
    assert "# materialized view customer_copy (id, email) holds a copy of other tables, with whoever was erased" in text
    assert "customer_view" not in tomllib.loads(text)["tables"]


def test_a_second_run_keeps_what_was_decided_and_shows_what_is_new_or_gone() -> None:
    decided = Decided(
        tables={
            "customer": {
                "category": "account",
                "primary_key": ["id"],
                "columns": {
                    "id": {"class": "T"},
                    "email": {"class": "M", "type": "citext"},
                    "who": {"class": "A", "json": "data"},
                    "shoe": {"class": "M"},
                },
            },
            "older": {"columns": {"id": {"class": "T"}}},
        },
        impersonal={"migration": ["id"]},
    )
    text = drafted(CUSTOMER, table("migration", "id:int"), over=decided)
    read = tomllib.loads(text)
    customer = read["tables"]["customer"]
    assert (customer["category"], customer["columns"]["email"]) == ("account", {"class": "M", "type": "citext"})
    assert customer["columns"]["who"] == {"class": "A", "json": "data"}
    assert customer["columns"]["odd"]["class"] == "?"
    assert read["impersonal"] == {"migration": ["id"]}
    assert [*read["tables"]] == ["customer", "older"]
    assert "# its type is text now" in text
    assert 'shoe = { class = "M" }  # gone from the database' in text.replace('"class"', "class")
    assert "# gone from the database: take it out\n[tables.older]" in text
    assert "older" in drafted(CUSTOMER, over=decided, only=("customer",))


def test_a_name_of_a_table_or_column_breaks_no_line_of_a_draft() -> None:
    odd = table("o\n[x]", 'e"mail deleted_at:date\x7f', primary_key="")
    assert [*tomllib.loads(drafted(odd))["tables"]] == ["o\n[x]"]


def test_a_table_that_two_schemas_have_is_refused() -> None:
    there = {each.place: each for each in (CUSTOMER, table("customer", "id:bigint", schema="other"))}
    with pytest.raises(Misconfigured, match="two schemas have a table customer: draft one dataset for each"):
        Draft(Shapes("shop", there), ["public", "other"], (), Decided())
