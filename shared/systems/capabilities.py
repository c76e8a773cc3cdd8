"""States what one system can do and what it holds, as its adapter knows it from what is declared of the system."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.policy import OnErasure
from shared.systems.states import STATES, Telling

Legend = Mapping[str, Mapping[str, str]]
"""By category, what the fields of its records mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The defaults are those of a system about which an adapter knows nothing more than its table says.

    What it does: ``operations``: those that its table names; ``on_erasure``: what it does with a category on the day of
    an erasure; ``erases_by_category``, ``spares_by_category``: it erases some categories alone, or leaves some;
    ``silences``: categories in which marketing can stop without an erasure; ``corrects``: it holds what may have to be
    corrected; ``stated``: categories whose records bear statements; ``one_flag``: it restricts a person by one flag,
    which the last of several restrictions lifts; ``keeps_periods``: it restricts a number in a period;
    ``asks_before_marketing``: it asks itself who gets none; ``abreast``: batches under way at a time.

    What it holds: ``categories``: all of a kind of system, each searched in every task; ``holds``: those that are
    declared; ``not_held``: operations that concern nothing of it; ``tenants``: whose data it separates (None: any);
    ``legend``; ``not_compared``: what of it is not compared with the list of those who get no marketing.

    How it finds: ``searched_by``, ``yields``: types of identity (None: it cannot say); ``leads_on``: it may find more
    by what it yields (None: by whatever it needs); ``knows_times``: a period leaves records out; ``heeds_periods``: it
    finds nothing of a later holder; ``tells_holders_apart``, ``tells_people_apart``: it notices that several people
    have one address; ``weighs_claims``: it compares claimed accounts with what its records say; ``never_told_apart``:
    what is filed by an account alone.

    What keeps: ``may_refuse``: it may say that nothing may be erased now; ``telling``: what of it says whether a state
    lasts; ``states``: further states that it tells; ``knows_no_states``: it tells no state of contracts and invoices;
    ``against_policy``, ``done_by_hand``: a sentence for each part of the policy that it cannot do, or a person does.

    ``undeclared``: operations for which its declaration has nothing; ``lacks``: names of tables, resources or columns
    by what their declaration lacks.
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
    never_told_apart: tuple[str, ...] = ()

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
        """The states of the policy of which it tells whether they last."""
        return self.states.union(STATES[each.reason] for each in self.telling if each.reason in STATES)
