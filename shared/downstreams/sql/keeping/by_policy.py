"""What the policy does with a category on the day of an erasure (``on_erasure``), carried out in a store or refused."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from shared.domain.errors import SystemRefused
from shared.domain.policy import OnErasure, Policy
from shared.downstreams.contract import Receipt, Result
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session
from shared.downstreams.sql.sweeping.anonymous import of_one_person


class RuleUndeclared(SystemRefused):
    """The policy has something else done with what a table holds than deleting it, and the dataset says not how."""


def undeclared(dataset: Dataset, policy: Policy) -> Iterator[str]:
    """What of the policy this dataset does not say how to do, a sentence for each table and rule."""
    for name, table in dataset.tables.items():
        yield from _undeclared_of(name, table, policy)


def anonymised(session: Session, policy: Policy) -> tuple[Statements, ...]:
    """The tables of a session, those among them that lose their people by what becomes of every column.

    A customer's rows are not ours to keep in any form: they go as the customer has said.

    Raises:
        RuleUndeclared: the policy keeps or anonymises something, and the dataset does not say how.
    """
    if session.tenant is not None:
        return session.tables
    if says := [each for table in session.tables for each in _undeclared_of(table.name, table.table, policy)]:
        raise RuleUndeclared("; ".join(says))
    return tuple(
        _anonymised(table) if does_with(table.table, policy) is OnErasure.ANONYMISE else table
        for table in session.tables
    )


def with_anonymised(session: Session, policy: Policy, results: Sequence[Result]) -> list[Result]:
    """The same, with the categories whose rows an erasure has left without the person instead of deleting them."""
    emptied = {t.table.category for t in session.tables if does_with(t.table, policy) is OnErasure.ANONYMISE}
    if not emptied or session.tenant is not None:
        return [*results]
    return [_with_anonymised(emptied, each) if isinstance(each, Receipt) else each for each in results]


def _with_anonymised(emptied: Collection[str], receipt: Receipt) -> Receipt:
    kept = Counter[str]()
    for each in receipt.kept or ():
        kept[each.category or ""] += each.count
    left = Counter(receipt.by_category) - kept
    changed = tuple(sorted(each for each in emptied if each in left))
    return replace(receipt, anonymised=changed) if changed else receipt


def _anonymised(table: Statements) -> Statements:
    said = table.table.model_copy(update={"erase": "blank"})
    return replace(table, table=said, emptied_to=of_one_person(table))


def does_with(table: Table, policy: Policy) -> OnErasure:
    """What an erasure does with our own rows of a table; of what customers alone decide about there are none."""
    category = policy.category(table.category)
    if category is None or (category.is_customers and table.tenant):
        return OnErasure.DELETE
    return category.on_erasure


def _undeclared_of(name: str, table: Table, policy: Policy) -> Iterator[str]:
    category = policy.category(table.category)
    if category is None:
        return
    rules = {rule: policy.rules[rule] for rule in category.kept_by}
    kept = {rule: each for rule, each in rules.items() if each.period}
    for rule, each in ((rule, each) for rule, each in rules.items() if each.period or each.fields):
        if table.keeps is None and not each.period:
            yield (
                f"{name} holds {table.category}, of which {rule} keeps fields: declare keeps, so that it is known what"
                " is left of a row"
            )
        elif table.keeps is None or (each.anchor and each.anchor not in table.anchors):
            yield (
                f"{name} holds {table.category}, which {rule} keeps: declare anchors.{each.anchor} and keeps, so that"
                " it is known from which column it counts and what is left of a row"
            )
        elif strange := sorted(each.fields - table.keeps.fields.keys()):
            yield (
                f"{name}.keeps does not say where {', '.join(strange)} is, which {rule} keeps of {table.category}: name"
                " its columns in keeps.fields, or [] if this table has none"
            )
    match does_with(table, policy):
        case OnErasure.KEEP if not kept:
            yield (
                f"{name} holds {table.category}, which stays in an erasure by the policy, and no rule of its kept_by"
                " says on which ground and until when: name one with a period, or let on_erasure be delete"
            )
        case OnErasure.ANONYMISE if table.anonymise is None:
            yield (
                f"{name} holds {table.category}, which the policy anonymises: declare anonymise, which says what"
                " becomes of each column"
            )
        case OnErasure.ANONYMISE if table.parties:
            yield (
                f"{name} holds {table.category}, which the policy anonymises, and several people are in a row: the"
                " others' record would go too; let on_erasure be delete, by which each is blanked alone"
            )
        case _:
            return
