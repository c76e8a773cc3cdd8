"""The statements of a dataset, made from what it declares and what its tables are today."""

from collections.abc import Iterator, Mapping, Sequence

from shared.downstreams.sql.catalog import Place, Relation
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.declared import Join
from shared.downstreams.sql.declaration.graph import ends_first
from shared.downstreams.sql.declaration.tenancy import Tenancy
from shared.downstreams.sql.finding.paths import Hop
from shared.downstreams.sql.finding.searching import Path
from shared.downstreams.sql.quoting import quoted
from shared.downstreams.sql.statements import Statements


def statements_of(
    dataset: Dataset, namespace: str, relations: Mapping[Place, Relation], tenancy: Tenancy, tenant: str | None
) -> tuple[Statements, ...]:
    """Those of every table in which rows of the tenant are told, or our own, as they are declared."""
    made: dict[str, Statements] = {}
    for name in ends_first(dataset.tables):
        table = dataset.tables[name]
        paths = tuple(_paths(dataset, namespace, relations, name, made))
        if tenant is None or table.tenant or paths:
            relation = relations[dataset.place(namespace, name)]
            led = _hops(dataset, namespace, relations, name, table.jurisdiction.via if table.jurisdiction else ())
            made[name] = Statements(namespace, name, table, relation, tenancy, tenant, paths, to_jurisdiction=led)
    return tuple(made[name] for name in dataset.tables if name in made)


def _paths(
    dataset: Dataset, namespace: str, relations: Mapping[Place, Relation], name: str, made: Mapping[str, Statements]
) -> Iterator[Path]:
    """The paths of a table to those whose statements are made; of a tenant no other tells."""
    for party, joins in dataset.tables[name].paths:
        if joins[-1].table not in made:
            continue
        hops = _hops(dataset, namespace, relations, name, joins)
        yield Path(made[joins[-1].table], hops, party, joins[-1].party)


def _hops(
    dataset: Dataset, namespace: str, relations: Mapping[Place, Relation], name: str, joins: Sequence[Join]
) -> tuple[Hop, ...]:
    hops = []
    nearer = dataset.place(namespace, name)
    for join in joins:
        farther = dataset.place(namespace, join)
        source = f"{quoted(farther[0])}.{quoted(farther[1])}"
        hops.append(Hop.of(join, relations[nearer], relations[farther], source))
        nearer = farther
    return tuple(hops)
