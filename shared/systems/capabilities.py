"""States what one system can do and what it holds, as its adapter knows from the declaration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.policy import OnErasure
from shared.systems.states import STATES, Telling

Legend = Mapping[str, Mapping[str, str]]
"""Meanings of record fields, by category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Capabilities of a system; the defaults are those of a system that declares nothing but its table.

    What it does: ``operations``: those in its table; ``on_erasure``: how it erases a category; ``erases_by_category``,
    ``spares_by_category``: it can erase, or leave, single categories; ``silences``: categories in which marketing can
    stop without an erasure; ``corrects``: it holds data that may need correction; ``stated``: categories that take
    statements; ``one_flag``: one flag restricts a person, and the last lift clears it; ``keeps_periods``: it restricts
    a number in a period; ``asks_before_marketing``: it asks us before it sends marketing; ``abreast``: concurrent
    batches.

    What it holds: ``categories``: those of this kind of system, searched in every task; ``holds``: declared ones;
    ``not_held``: operations that concern nothing there; ``tenants``: customers whose data it separates (None: any);
    ``legend``; ``not_compared``: parts not compared with the suppression list.

    How it finds: ``searched_by``, ``yields``: identity types (None: unknown); ``leads_on``: it may find more by what it
    yields (None: by what it needs); ``knows_times``: a period leaves records out; ``heeds_periods``: it finds nothing
    of a later holder; ``tells_holders_apart``, ``tells_people_apart``: it notices that several people share an address;
    ``weighs_claims``: it compares claimed accounts with its records; ``unconfirmed_accounts``: places filed by account
    alone.

    What keeps: ``may_refuse``: it may refuse an erasure now; ``telling``: places that show whether a state lasts;
    ``states``: further states that it reports; ``knows_no_states``: it reports none of contracts and invoices;
    ``against_policy``, ``done_by_hand``: a sentence for each part of the policy that it cannot do, or that a person
    does.

    ``undeclared``: operations without a declaration; ``lacks``: places, by what their declaration lacks.
    """

    operations: frozenset[Operation] = frozenset(Operation)
    on_erasure: frozenset[OnErasure] = frozenset({OnErasure.DELETE, OnErasure.RESTRICT})
    erases_by_category: bool = False
    spares_by_category: bool = False
    silences: frozenset[str] = frozenset()
    corrects: bool = True
    stated: frozenset[str] = frozenset()
    one_flag: bool = False
    keeps_periods: bool = False
    asks_before_marketing: bool = False
    abreast: int = 1

    categories: tuple[str, ...] = ()
    holds: frozenset[str] = frozenset()
    not_held: frozenset[Operation] = frozenset()
    tenants: frozenset[str] | None = frozenset()
    legend: Legend = field(default_factory=dict)
    not_compared: tuple[str, ...] = ()

    searched_by: frozenset[IdentityType] = frozenset()
    yields: frozenset[IdentityType] | None = None
    leads_on: bool | None = None
    knows_times: bool = True
    heeds_periods: bool = False
    tells_holders_apart: bool = False
    tells_people_apart: bool = False
    weighs_claims: bool = False
    unconfirmed_accounts: tuple[str, ...] = ()

    may_refuse: bool = False
    telling: Sequence[Telling] = ()
    states: frozenset[str] = frozenset()
    knows_no_states: bool = False
    against_policy: tuple[str, ...] = ()
    done_by_hand: tuple[str, ...] = ()

    undeclared: frozenset[Operation] = frozenset()
    lacks: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def tells(self) -> frozenset[str]:
        """Returns the states of the policy that the system reports."""
        return self.states.union(STATES[each.reason] for each in self.telling if each.reason in STATES)
