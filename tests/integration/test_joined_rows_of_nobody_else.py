"""Whatever refers to what, and however: an erasure takes the rows that lead to the subject, all of them or none."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt
from shared.downstreams.sql.dialects import schema_for
from shared.storage.postgres import connected
from tests.fixtures.cdr import ask, engine
from tests.fixtures.downstream import email, task

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
        """Every row that leads to the subject."""
        return {(name, key) for name, keys in self.leading.items() for key in keys}

    def without_subject(self, row: Row, held: dict[str, object]) -> dict[str, object]:
        """What a row of somebody else holds when the subject is gone, which the database empties of them."""
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
        """Each row refers to one of the parent."""
        self.rows[name] = {n: {"parent": self._some(parent)} for n in range(self.random.randint(1, 5))}
        self.tables[name] = f'via = [{{ table = "{parent}", on = {{ parent = "id" }} }}]'
        self.leading[name] = {n for n, row in self.rows[name].items() if row["parent"] in self.leading[parent]}
        self._refers(name, "parent", parent)

    def _backward(self, name: str, parent: str) -> None:
        """Each row is referred to by some of the parent."""
        self.rows[name] = {n: {} for n in range(self.random.randint(1, 5))}
        each = iter(self.rows[name])
        for row in self.rows[parent].values():
            row[f"of_{name}"] = next(each, None) if self.tidy else self._some(name)
        self.tables[name] = f'via = [{{ table = "{parent}", on = {{ id = "of_{name}" }} }}]'
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
        self.tables[link] = f"via = [{path}]"
        self.tables[name] = f'via = [{{ table = "{link}", on = {{ id = "one" }} }}, {path}]'
        self.leading[link] = {key for key, row in self.rows[link].items() if row["other"] in self.leading[parent]}
        self.leading[name] = {one for key in self.leading[link] if isinstance(one := self.rows[link][key]["one"], int)}
        self._refers(link, "one", name)
        self._refers(link, "other", parent)


async def test_what_is_erased_is_exactly_what_leads_to_the_subject_or_nothing(
    empty_database: str, tmp_path: Path
) -> None:
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
    assert set(outcomes) == {"Receipt", "ForeignHit"}
    assert outcomes.count("Receipt") >= SHAPES // 3, outcomes


async def ask_all(dsn: str, statements: list[str]) -> None:
    async with connected(dsn) as connection:
        await connection.execute(";".join(statements))


async def rows_of(dsn: str, shape: Shape) -> dict[Row, dict[str, object]]:
    """Every row of every table."""
    tables = (f"SELECT '{name}', id, to_jsonb(t)::text FROM {name} t" for name in shape.rows)
    return {(name, key): json.loads(text) for name, key, text in await ask(dsn, " UNION ALL ".join(tables))}
