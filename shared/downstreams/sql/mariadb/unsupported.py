"""What a dataset may ask of PostgreSQL and not of MariaDB: refused by name, before anything rests on it."""

from collections.abc import Iterator

from shared.domain.errors import Fault, Misconfigured
from shared.domain.policy import OnErasure, Policy
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.declared import RowSwitch
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.keeping.by_policy import does_with


def refuse_unsupported(dataset: Dataset) -> None:
    """Raises ``Misconfigured`` with everything in a dataset that is not carried out on MariaDB."""
    faults = [Fault(f"{what}, which is not carried out on MariaDB: {instead}") for what, instead in _lacking(dataset)]
    if faults:
        raise Misconfigured(*faults)


def _lacking(dataset: Dataset) -> Iterator[tuple[str, str]]:
    if dataset.restriction:
        yield "the dataset has a [restriction] beside the data", "use a switch in the row, or do it by hand"
    for name, table in dataset.tables.items():
        yield from ((f"table {name} has {what}", instead) for what, instead in _of(table))


def _of(table: Table) -> Iterator[tuple[str, str]]:
    if table.anonymise:
        yield "anonymise", "leave it out, and let its application do it"
    if table.keeps:
        yield "keeps", "leave it out, and let a person erase what a rule keeps"
    if table.stated:
        yield "stated", "leave it out, and let a person keep what is stated about its rows"
    if table.jurisdiction and table.jurisdiction.via:
        yield "jurisdiction by joins", "name a column of its own"
    for kind, switch in (("restriction", table.restriction), ("marketing", table.marketing)):
        if isinstance(switch, RowSwitch):
            yield f"{kind} by rows of another table", "name a column"


def kept_by_policy(dataset: Dataset, policy: Policy) -> Iterator[str]:
    """Tables of which the policy keeps or anonymises rows in face of an erasure, a sentence for each.

    That is done set-wise, which is not carried out here: a person does such an erasure.
    """
    for name, table in dataset.tables.items():
        does = does_with(table, policy)
        if policy.keeps(table.category) or does in {OnErasure.KEEP, OnErasure.ANONYMISE}:
            what = "the policy anonymises" if does is OnErasure.ANONYMISE else "a rule of the policy keeps"
            yield (
                f"{name} holds {table.category}, of which {what} rows in face of an erasure; on MariaDB a"
                " person erases what may go"
            )
