"""Rows without identities: found, shown, changed and erased by the joins that lead to their person."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from shared.domain.errors import LimitExceeded, WrongPersonMatch
from shared.domain.identities import IdentityType
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome
from shared.domain.release import Match
from shared.storage.postgres import connected
from shared.systems.contract import CopiedRecord, Receipt, Task
from shared.systems.sql.catalog import DatasetOutdated
from shared.systems.sql.notes import schema_for
from shared.systems.sql.system import SqlSystem
from shared.systems.states import ErasureRefused
from tests.fixtures.cdr import SqlEngine, ask, each, engine
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.explained import Explained
from tests.fixtures.joined_shop import DATASET

ANNA, BORIS, UNKNOWN = email("anna@example.org"), email("boris@example.org"), email("unknown@example.org")
ERASE, EXPORT, LOCATE = Operation.ERASE, Operation.EXPORT, Operation.LOCATE
ROWS = """
SELECT 'customer', id::text FROM customer UNION ALL SELECT 'address', id::text FROM address
UNION ALL SELECT 'purchase', id::text FROM purchase UNION ALL SELECT 'line', id::text FROM purchase_line
UNION ALL SELECT 'device', serial FROM device UNION ALL SELECT 'note', id::text FROM note
UNION ALL SELECT 'room', id::text FROM room UNION ALL SELECT 'member', customer_id::text FROM member
"""
HERS = {
    *(("customer", "1"), ("customer", "4"), ("address", "1"), ("purchase", "1"), ("purchase", "3"), ("device", "d1")),
    *(("line", "1"), ("line", "2"), ("line", "4"), ("note", "1"), ("room", "1"), ("member", "1"), ("member", "4")),
}
HIS = {
    *(("customer", "2"), ("address", "2"), ("purchase", "2"), ("line", "3"), ("device", "d2"), ("note", "3")),
    *(("room", "2"), ("member", "2")),
}
COUNTS = {
    "account": 2,
    "address": 1,
    "purchase": 2,
    "purchase_line": 3,
    "device": 1,
    "note": 1,
    "room": 1,
    "member": 2,
    "message": 2,
}


@pytest.mark.parametrize("together", [True, False])
async def test_joined_rows_are_erased_with_the_subject_alone(shop: SqlEngine, shop_dsn: str, *, together: bool) -> None:
    before = set(await ask(shop_dsn, ROWS))
    if together:
        done = [receipt(one) for one in await shop.run(*each(ERASE, ANNA, UNKNOWN))]
        assert done[1].outcome is TaskOutcome.NO_MATCH
    else:
        done = [await shop.receipt(task(ERASE, ANNA))]
    assert (done[0].outcome, done[0].by_category) == (TaskOutcome.ERASED, COUNTS)
    assert before - set(await ask(shop_dsn, ROWS)) == HERS
    assert await ask(shop_dsn, "SELECT * FROM message ORDER BY id") == [
        (1, None, 2, None, "good day"),
        (2, 2, 3, "hi", None),
    ]
    again = await shop.receipt(task(ERASE, ANNA))
    assert again.outcome is TaskOutcome.NO_MATCH


async def test_many_subjects_are_erased_together_each_counted_by_itself(shop: SqlEngine, shop_dsn: str) -> None:
    await ask(shop_dsn, "DELETE FROM member; ")
    await ask(shop_dsn, "DELETE FROM message")
    done = [receipt(one).by_category for one in await shop.run(*each(ERASE, ANNA, BORIS))]
    assert done[1] == {"account": 1, "address": 1, "purchase": 1, "purchase_line": 1, "device": 1, "note": 1}
    assert done[0]["purchase_line"] == 3


async def test_a_copy_shows_each_row_once_and_tells_by_whom_it_was_found(shop: SqlEngine) -> None:
    anna, boris = (receipt(one) for one in await shop.run(*each(EXPORT, ANNA, BORIS)))
    assert anna.by_category == COUNTS
    assert anna.found == (await shop.receipt(task(LOCATE, ANNA))).found
    mine = Match(IdentityType.EMAIL, "anna@example.org", None, None)
    assert all(mine in record.matched for record in anna.records)
    titles = {record.data["title"] for one in (anna, boris) for record in one.records if record.category == "room"}
    assert titles == {"Anna alone", "Boris alone"}
    assert {record.data["title"] for record in anna.records if record.category == "room"} == {"Anna alone"}
    sent = next(record.data for record in anna.records if record.data.get("body") == "hello")
    assert "reply" not in sent


async def test_row_that_also_leads_to_another_person_is_not_changed(shop: SqlEngine, shop_dsn: str) -> None:
    await ask(shop_dsn, "UPDATE customer SET address_id = 1 WHERE id = 3")
    before = await ask(shop_dsn, ROWS)
    results = [await shop.one(task(operation, ANNA)) for operation in (ERASE, EXPORT)]
    assert all(isinstance(one, WrongPersonMatch) and "address" in str(one) for one in results), results
    assert await ask(shop_dsn, ROWS) == before


async def test_a_correction_reaches_a_row_by_its_joins_and_no_other(shop: SqlEngine, shop_dsn: str) -> None:
    done = await shop.receipt(task(Operation.RECTIFY, ANNA, changes=[("street", None, "Rua 2")]))
    assert done.by_category == {"address": 1}
    assert await ask(shop_dsn, "SELECT id FROM address WHERE street = 'Rua 2'") == [(1,)]


async def test_orphaned_rows_are_found_by_their_keys(shop: SqlEngine, shop_dsn: str) -> None:
    """Rows may refer to a deleted person in a store without foreign keys."""
    await ask(shop_dsn, "DELETE FROM note WHERE id = 1")
    await ask(
        shop_dsn,
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO note VALUES (9, old.id::text, 'late'); RETURN old; END$$",
    )
    await ask(shop_dsn, "CREATE TRIGGER late AFTER DELETE ON customer FOR EACH ROW EXECUTE FUNCTION late()")
    left = await shop.one(task(ERASE, BORIS))
    assert type(left).__name__ == "DataStillPresent", left


async def test_an_open_order_keeps_everything_until_it_is_closed(shop: SqlEngine, shop_dsn: str) -> None:
    await ask(shop_dsn, "UPDATE purchase SET status = 'open' WHERE id = 3")
    before = await ask(shop_dsn, ROWS)
    refused, done = await shop.run(*each(ERASE, ANNA, BORIS))
    assert isinstance(refused, ErasureRefused)
    assert "open_order" in str(refused)
    assert receipt(done).outcome is TaskOutcome.ERASED
    assert {*before} - {*await ask(shop_dsn, ROWS)} == HIS
    assert (await shop.receipt(task(EXPORT, ANNA))).by_category == COUNTS


VIEW = """
[tables.spent]
category = "purchase"
primary_key = ["email"]
columns = { email = { class = "A", identity = "email" }, purchases = { class = "M" } }
"""


async def test_a_view_through_which_nothing_can_be_changed_is_refused(shop_dsn: str, tmp_path: Path) -> None:
    view = (
        "CREATE VIEW spent AS SELECT email, count(*) AS purchases FROM customer c"
        " JOIN purchase p ON p.customer_id = c.id GROUP BY 1"
    )
    await ask(shop_dsn, view)
    written = tmp_path / "shop.toml"
    written.write_text(DATASET + VIEW, encoding="utf-8")
    async with engine(shop_dsn, written, {}) as shop:
        with pytest.raises(DatasetOutdated, match="spent is a view through which nothing can be changed: leave it"):
            await shop.one(task(ERASE, ANNA))


async def test_each_step_of_a_path_is_read_by_an_index(shop_dsn: str, tmp_path: Path, explained: Explained) -> None:
    for indexed, columns in (
        *(("purchase", "customer_id"), ("purchase", "guest"), ("purchase_line", "purchase_id")),
        *(("device", "realm, owner"), ("note", "object_id"), ("message", "sender"), ("message", "receiver")),
        *(("member", "customer_id"), ("customer", "phone")),
    ):
        await ask(shop_dsn, f"CREATE INDEX ON {indexed} ({columns})")
    (tmp_path / "shop.toml").write_text(DATASET, encoding="utf-8")
    async with engine(shop_dsn, tmp_path / "shop.toml", {}) as shop:
        for operation in (EXPORT, ERASE):
            await shop.one(task(operation, ANNA))
    assert any('"purchase_line"' in statement for statement in explained.plans)
    for statement, plan in explained.plans.items():
        assert "Seq Scan" not in str(plan) or "dsr_platform" in statement, statement


# Limits of a SQL store: a larger change waits for two people, who confirm the number that they saw.
EMAIL, BORIS_LIMITS = email("anna.meier@example.org"), email("boris@example.org")
DUMP = "SELECT c::text FROM customer c UNION ALL SELECT c::text FROM contact c ORDER BY 1"
CHANGE = [("name", None, "Anna Maier")]
CORRECTABLE = "UPDATE customer SET email = 'anna.meier@example.org' WHERE account_id = 'C2'"
"""Two rows are hers by the address, as each kind of change needs to go beyond a limit of one."""


def of(operation: Operation) -> Task:
    return task(operation, EMAIL, changes=CHANGE if operation is Operation.RECTIFY else ())


def exceeded(result: object) -> Exceeded:
    assert isinstance(result, LimitExceeded), result
    assert result.exceeded is not None
    return result.exceeded


@pytest.mark.parametrize("settings", [{"max_rows": 1, "max_people": 2}])
@pytest.mark.parametrize(
    ("operation", "found"),
    [(Operation.ERASE, 4), (Operation.RECTIFY, 2), (Operation.RESTRICT, 2), (Operation.SUPPRESS, 2)],
)
async def test_beyond_max_rows_nothing_is_done_until_as_much_is_confirmed_and_no_more_than_that(
    customer_store: CustomerStore, customers: SqlEngine, operation: Operation, found: int
) -> None:
    await customer_store.run(CORRECTABLE)
    if operation is Operation.RESTRICT:
        await customer_store.run("DELETE FROM contact")  # it cannot show a restriction
    before = await customer_store.ask(DUMP)
    asked = of(operation)
    assert exceeded(await customers.one(asked)) == Exceeded(limit=Limit.MAX_ROWS, found=found, allowed=1)
    less = replace(asked, attempt=2, confirmed={"max_rows": found - 1})
    assert exceeded(await customers.one(less)) == Exceeded(limit=Limit.MAX_ROWS, found=found, allowed=found - 1)
    assert await customer_store.ask(DUMP) == before
    done = await customers.receipt(replace(asked, attempt=3, confirmed={"max_rows": found}))
    assert (done.found, done.outcome is TaskOutcome.NO_MATCH) == (found, False)
    assert await customer_store.ask(DUMP) != before


async def test_dual_approval_joins_two_subjects(customer_store: CustomerStore, customers: SqlEngine) -> None:
    await customer_store.run(CORRECTABLE)
    asked = of(Operation.ERASE)
    assert exceeded(await customers.one(asked)) == Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1)
    done = await customers.receipt(replace(asked, attempt=2, confirmed={"max_people": 2}))
    assert done.by_category == {"account": 2, "contact": 2}


@pytest.mark.parametrize("separated_by", ["account", "name"])
async def test_shared_address_is_resolved_by_what_rows_show(customer_store: CustomerStore, separated_by: str) -> None:
    text = customer_store.dataset.read_text().replace('person = "account_id"\n', "")
    if separated_by == "name":
        text = text.replace(', identity = "account_id"', "")
    customer_store.dataset.write_text(text)
    await customer_store.run(CORRECTABLE, "UPDATE customer SET name = 'Yan Meier' WHERE account_id = 'C2'")
    before = await customer_store.ask(DUMP)
    async with engine(customer_store.dsn, customer_store.dataset, {}) as customers:
        asked = of(Operation.ERASE)
        assert exceeded(await customers.one(asked)) == Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1)
    assert await customer_store.ask(DUMP) == before


@pytest.mark.parametrize("settings", [{"max_rows": 1}])
async def test_unlimited_copy_is_streamed(customers: SqlEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[tuple[UUID, list[str]]] = []

    async def hand_over(task_id: UUID, records: Sequence[CopiedRecord]) -> None:
        parts.append((task_id, [record.category for record in records]))

    async def read() -> list[Receipt]:
        asked = each(Operation.EXPORT, EMAIL, BORIS_LIMITS)
        results = await customers.adapter.export_in_parts(asked, customers.save_progress, hand_over)
        return [receipt(result) for result in results]

    hers, his = await read()
    assert ((hers.found, hers.parts), (his.found, his.parts)) == ((3, 0), (2, 0))
    assert not parts
    whole = sorted(record.category for record in hers.records)
    monkeypatch.setattr(SqlSystem, "part", 2)
    hers, his = await read()
    assert (hers.found, hers.by_category, his.found) == (3, Counter(whole), 2)
    handed = [kind for task_id, kinds in parts if task_id == hers.task_id for kind in kinds]
    assert sorted([*handed, *(record.category for record in hers.records)]) == whole
    assert hers.parts == sum(task_id == hers.task_id for task_id, _ in parts) > 0


# Whatever refers to what, and however: an erasure takes the rows that lead to the subject, all of them or none.
SUBJECT = "a@example.org"
SHAPES = 10
Row = tuple[str, int]


@dataclass
class Shape:
    """Some tables that refer to one another at random, with some rows, and which of them lead to the subject."""

    random: Random
    tidy: bool
    """Whether no row leads to several."""
    sql: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[int, dict[str, object]]] = field(default_factory=dict)
    leading: dict[str, set[int]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    let_go: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._people()
        for number in range(1, self.random.randint(2, 5)):
            parent = self.random.choice([name for name in self.rows if name.startswith("t")])
            self.random.choice([self._forward, self._backward, self._linked])(f"t{number}", parent)
        for name, rows in self.rows.items():
            columns = sorted({column for row in rows.values() for column in row})
            typed = "".join(f", {column} {'text' if column == 'email' else 'int'}" for column in columns)
            self.sql.append(f"CREATE TABLE {name} (id int PRIMARY KEY{typed})")
            for key, row in rows.items():
                held = (("id", key), *row.items())
                values = ", ".join("NULL" if value is None else f"'{value}'" for _, value in held)
                self.sql.append(f"INSERT INTO {name} ({', '.join(column for column, _ in held)}) VALUES ({values})")
        self.sql += self.keys

    @property
    def dataset(self) -> str:
        """The file that declares it."""
        said = []
        for name, rows in self.rows.items():
            columns = sorted({column for row in rows.values() for column in row})
            kinds = {"email": '"A", identity = "email"'}
            written = (f"{column} = {{ class = {kinds.get(column, json.dumps('T'))} }}" for column in ("id", *columns))
            head = f'[tables.{name}]\ncategory = "{name}"\nprimary_key = ["id"]\n{self.tables[name]}\n'
            said.append(f"{head}columns = {{ {', '.join(written)} }}\n")
        return 'name = "shape"\n' + "".join(said)

    @property
    def subjects(self) -> set[Row]:
        """Returns every row that leads to the subject."""
        return {(name, key) for name, keys in self.leading.items() for key in keys}

    def without_subject(self, row: Row, held: dict[str, object]) -> dict[str, object]:
        """Returns another person's row after the subject's deletion, with the references that the database empties."""
        gone = {
            column for child, column, parent in self.let_go if child == row[0] if held[column] in self.leading[parent]
        }
        return {column: None if column in gone else value for column, value in held.items()}

    def _people(self) -> None:
        addresses = [SUBJECT, "b@example.org", "c@example.org", *([SUBJECT] if self.random.random() < 0.3 else [])]
        self.rows["t0"] = {n: {"email": address} for n, address in enumerate(addresses)}
        self.tables["t0"] = ""
        self.leading["t0"] = {n for n, address in enumerate(addresses) if address == SUBJECT}

    def _some(self, parent: str) -> int | None:
        return self.random.choice([*self.rows[parent], *self.rows[parent], None])

    def _refers(self, child: str, column: str, parent: str) -> None:
        if self.random.random() < 0.7:
            action = self.random.choice(["", " ON DELETE CASCADE", " ON DELETE RESTRICT", " ON DELETE SET NULL"])
            if "NULL" in action:
                self.let_go.append((child, column, parent))
            self.keys.append(f"ALTER TABLE {child} ADD FOREIGN KEY ({column}) REFERENCES {parent}{action}")

    def _forward(self, name: str, parent: str) -> None:
        """Adds rows that refer to rows of the parent."""
        self.rows[name] = {n: {"parent": self._some(parent)} for n in range(self.random.randint(1, 5))}
        self.tables[name] = f'belongs_to = [{{ table = "{parent}", on = {{ parent = "id" }} }}]'
        self.leading[name] = {n for n, row in self.rows[name].items() if row["parent"] in self.leading[parent]}
        self._refers(name, "parent", parent)

    def _backward(self, name: str, parent: str) -> None:
        """Adds rows to which rows of the parent refer."""
        self.rows[name] = {n: {} for n in range(self.random.randint(1, 5))}
        each = iter(self.rows[name])
        for row in self.rows[parent].values():
            row[f"of_{name}"] = next(each, None) if self.tidy else self._some(name)
        self.tables[name] = f'belongs_to = [{{ table = "{parent}", on = {{ id = "of_{name}" }} }}]'
        led = {row[f"of_{name}"] for key, row in self.rows[parent].items() if key in self.leading[parent]}
        self.leading[name] = {n for n in self.rows[name] if n in led}
        self._refers(parent, f"of_{name}", name)

    def _linked(self, name: str, parent: str) -> None:
        """Rows of a third table say which rows of both belong together."""
        link = f"l{name}"
        self.rows[name] = {n: {} for n in range(self.random.randint(1, 4))}
        pairs = {(n, self._some(parent)) for n in self.rows[name] for _ in range(1 if self.tidy else 2)}
        self.rows[link] = {key: {"one": one, "other": other} for key, (one, other) in enumerate(sorted(pairs, key=str))}
        path = f'{{ table = "{parent}", on = {{ other = "id" }} }}'
        self.tables[link] = f"belongs_to = [{path}]"
        self.tables[name] = f'belongs_to = [{{ table = "{link}", on = {{ id = "one" }} }}]'
        self.leading[link] = {key for key, row in self.rows[link].items() if row["other"] in self.leading[parent]}
        self.leading[name] = {one for key in self.leading[link] if isinstance(one := self.rows[link][key]["one"], int)}
        self._refers(link, "one", name)
        self._refers(link, "other", parent)


async def test_exactly_the_rows_that_lead_to_the_subject_are_erased(empty_database: str, tmp_path: Path) -> None:
    async with connected(empty_database) as connection:
        await connection.execute(schema_for(empty_database))
    outcomes = []
    for seed in range(SHAPES):
        shape = Shape(Random(seed), tidy=seed % 2 == 0)  # noqa: S311 - it is to be the same each time
        await ask_all(empty_database, ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public", *shape.sql])
        (tmp_path / "shape.toml").write_text(shape.dataset, encoding="utf-8")
        before = await rows_of(empty_database, shape)
        async with engine(empty_database, tmp_path / "shape.toml", {"max_people": 9}) as store:
            copy = await store.one(task(Operation.EXPORT, email(SUBJECT)))
            if isinstance(copy, Receipt):
                assert copy.found == len(shape.subjects), seed
            done = await store.one(task(Operation.ERASE, email(SUBJECT)))
        after = await rows_of(empty_database, shape)
        if isinstance(done, Receipt):
            assert done.outcome is TaskOutcome.ERASED, seed
            assert (before.keys() - after.keys(), done.changed) == (shape.subjects, len(shape.subjects)), seed
            assert {row: shape.without_subject(row, before[row]) for row in after} == after, seed
        else:
            assert after == before, (seed, done)
        outcomes.append(type(done).__name__)
    assert set(outcomes) == {"Receipt", "WrongPersonMatch"}
    assert outcomes.count("Receipt") >= SHAPES // 3, outcomes


async def ask_all(dsn: str, statements: list[str]) -> None:
    async with connected(dsn) as connection:
        await connection.execute(";".join(statements))


async def rows_of(dsn: str, shape: Shape) -> dict[Row, dict[str, object]]:
    """Returns every row of every table."""
    tables = (f"SELECT '{name}', id, to_jsonb(t)::text FROM {name} t" for name in shape.rows)
    return {(name, key): json.loads(text) for name, key, text in await ask(dsn, " UNION ALL ".join(tables))}
