"""States what one system can do and what it holds, as its adapter knows from the declaration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.policy import OnErasure
from shared.systems.states import STATES, StatePlace

Legend = Mapping[str, Mapping[str, str]]
"""Meanings of record fields, by category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Capabilities of a system; the defaults are those of a system that declares nothing but its table.

    What it does: ``operations``: those in its table; ``on_erasure``: how it erases a category; ``erases_by_category``,
    ``keeps_by_category``: it can erase, or leave, single categories; ``marketing_stop_categories``: categories in which
    marketing can stop without an erasure; ``may_need_correction``: it holds data that may need correction;
    ``statement_categories``: categories that take statements; ``one_flag``: one flag restricts a person, and the last
    lift clears it; ``restricts_by_period``: it restricts a number in a period; ``asks_before_marketing``: it asks us
    before it sends marketing; ``concurrency``: concurrent batches.

    What it holds: ``categories``: those of this kind of system, searched in every task; ``declared_categories``:
    declared ones; ``not_held``: operations that concern nothing there; ``tenants``: customers whose data it separates
    (None: any); ``legend``; ``not_compared``: parts not compared with the suppression list.

    How it finds: ``searched_by``, ``yields``: identity types (None: unknown); ``finds_more``: it may find more by what
    it yields (None: by what it needs); ``has_record_times``: a period leaves records out; ``respects_periods``: it
    finds nothing of a later holder; ``distinguishes_holders``, ``distinguishes_people``: it notices that several people
    share an address; ``checks_claimed_accounts``: it compares claimed accounts with its records;
    ``unconfirmed_accounts``: places filed by account alone.

    What keeps: ``may_refuse``: it may refuse an erasure now; ``state_places``: places that show whether a state lasts;
    ``states``: further states that it reports; ``reports_no_states``: it reports none of contracts and invoices;
    ``policy_conflicts``, ``manual_parts``: a sentence for each part of the policy that it cannot do, or that a person
    does.

    ``undeclared``: operations without a declaration; ``missing_declarations``: places, by what their declaration lacks.
    """

    operations: frozenset[Operation] = frozenset(Operation)
    on_erasure: frozenset[OnErasure] = frozenset({OnErasure.DELETE, OnErasure.RESTRICT})
    erases_by_category: bool = False
    keeps_by_category: bool = False
    marketing_stop_categories: frozenset[str] = frozenset()
    may_need_correction: bool = True
    statement_categories: frozenset[str] = frozenset()
    one_flag: bool = False
    restricts_by_period: bool = False
    asks_before_marketing: bool = False
    concurrency: int = 1

    categories: tuple[str, ...] = ()
    declared_categories: frozenset[str] = frozenset()
    not_held: frozenset[Operation] = frozenset()
    tenants: frozenset[str] | None = frozenset()
    legend: Legend = field(default_factory=dict)
    not_compared: tuple[str, ...] = ()

    searched_by: frozenset[IdentityType] = frozenset()
    yields: frozenset[IdentityType] | None = None
    finds_more: bool | None = None
    has_record_times: bool = True
    respects_periods: bool = False
    distinguishes_holders: bool = False
    distinguishes_people: bool = False
    checks_claimed_accounts: bool = False
    unconfirmed_accounts: tuple[str, ...] = ()

    may_refuse: bool = False
    state_places: Sequence[StatePlace] = ()
    states: frozenset[str] = frozenset()
    reports_no_states: bool = False
    policy_conflicts: tuple[str, ...] = ()
    manual_parts: tuple[str, ...] = ()

    undeclared: frozenset[Operation] = frozenset()
    missing_declarations: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def reported_states(self) -> frozenset[str]:
        """Returns the states of the policy that the system reports."""
        return self.states.union(STATES[each.reason] for each in self.state_places if each.reason in STATES)
