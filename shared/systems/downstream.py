"""One system of the downstreams file: what is declared of it, and the adapter that works it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import BY_HAND, FULFILLED_BY, Operation
from shared.domain.policy import OnErasure, Policy
from shared.domain.proofs import Action
from shared.domain.rights import LEVELS, Level
from shared.domain.topics import ServiceName
from shared.systems.capabilities import Capabilities
from shared.systems.conformance.declared import Conformance
from shared.systems.protocols import METHODS, Adapter, Marketable, Operate, Replaceable

_UNKNOWN = Capabilities()


@dataclass(frozen=True, slots=True)
class Downstream:
    """One system: it ``needs`` any one of these identity types to be searched, and ``yields`` those.

    ``enabled``: false where it is declared and not worked with yet; then it has no adapter. ``fingerprint``: the hash
    of its table and of the dataset that this names. It is told identities of types that it needs, or has told itself.
    ``assigns``: it says whose a number is and when, so the register of assignments is filled from it. ``not_held``:
    operations that concern nothing that it holds: it is not asked for them, nor a person for it. ``accounts``: the
    namespace of its account ids; ``accounts_from``: who speaks of ids of that namespace (None: anybody);
    ``accounts_found_by``: the other systems that find a person's id of it.
    ``tenants``: the customers of ours whose data it tells apart from each other's and from ours (None: any).
    ``categories``: what it holds; ``needed``: to which level an identity must be proved for that that it is searched
    by, by what is asked for; until that is known, the highest. ``undone``: categories with which the policy has
    something else done in an erasure than its adapter can do. ``untold``: states for which the policy may keep
    something of it, and of which no declared system tells whether they last, ``to_declare``: what would let them be
    told; ``rests_on``: those of which another one tells it (``states.py``). ``unruled``: which states it tells itself
    by which no rule keeps what is in them, a sentence for each. ``unknown``: categories of which the policy of proofs
    says nothing.
    ``confirmed_elsewhere``: another system says whose an account is, so what it does not yield is nobody's here.
    """

    name: str
    needs: frozenset[IdentityType]
    yields: frozenset[IdentityType] = frozenset()
    settings: BaseModel | None = None
    adapter: Adapter | None = None
    enabled: bool = True
    fingerprint: str = ""
    assigns: bool = False
    not_held: frozenset[Operation] = frozenset()
    accounts: str = ""
    accounts_from: frozenset[str] | None = None
    accounts_found_by: frozenset[str] = frozenset()
    tenants: frozenset[str] | None = frozenset()
    categories: frozenset[str] = frozenset()
    needed: Mapping[Action, Level] = field(default_factory=lambda: dict.fromkeys(Action, LEVELS[-1]))
    conformance: Conformance | None = None
    undone: frozenset[str] = frozenset()
    untold: frozenset[str] = frozenset()
    to_declare: tuple[str, ...] = ()
    rests_on: frozenset[str] = frozenset()
    unruled: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    confirmed_elsewhere: bool = False

    def can(self, operation: Operation) -> bool:
        """Whether its adapter has that operation; one whose table says which it has says so by ``operations``."""
        return hasattr(self.adapter, METHODS[operation]) and operation in self.capable.operations

    @property
    def capable(self) -> Capabilities:
        """What its adapter can do; without one nothing is known."""
        return self.adapter.can if self.adapter else _UNKNOWN

    @property
    def incarnation(self) -> str:
        """Returns which store it has seen last; empty where none yet, or where it cannot tell."""
        return self.adapter.incarnation if isinstance(self.adapter, Replaceable) else ""

    @property
    def asked_by(self) -> Sequence[ServiceName]:
        """The services that ask it to do something, in an order that all of them know."""
        asking = {service for operation, service in FULFILLED_BY.items() if self.can(operation)}
        return [service for service in ServiceName if service in asking]

    @property
    def may_refuse(self) -> bool:
        """Whether it may say that nothing of a subject may be erased now: it is asked before anything is."""
        refuses = self.left or self.rests_on or self.capable.may_refuse
        return self.can(Operation.PLAN) and bool(refuses)

    @property
    def leads_on(self) -> bool:
        """Whether it may find more of somebody by what it yields of them than by what they have said.

        An adapter that can see that from what is declared of its system says so; else whatever it needs may.
        """
        leads_on = self.capable.leads_on
        return bool(self.needs & self.yields - {IdentityType.NAME}) if leads_on is None else leads_on

    @property
    def left(self) -> Sequence[str]:
        """Why a person does each erasure in it."""
        return [*filter(None, (self.says_undone, self.says_untold))]

    @property
    def by_person(self) -> Sequence[str]:
        """What of the policy a person sees to in it, since it is declared so, or can do no more: a sentence for each.

        ``left`` and what else its adapter says so of; the services work with it all the same.
        """
        instead = (
            (self.says_undone, "let on_erasure be delete there, or a person does each erasure"),
            (self.says_untold, "; ".join([*self.to_declare, "or a person does each erasure"])),
        )
        left = [f"{says}: {mend}" for says, mend in instead if says]
        return [*left, *self.capable.done_by_hand, *self.unruled]

    @property
    def says_undone(self) -> str:
        """What of the policy its adapter cannot do; empty where it can."""
        if not self.undone:
            return ""
        held = ", ".join(sorted(self.undone))
        return f"holds {held}, which the policy does not let an erasure delete, and deleting is all that it can do"

    @property
    def says_untold(self) -> str:
        """Of which states nobody tells whether they keep something; empty where all are told."""
        if not self.untold:
            return ""
        states = ", ".join(sorted(self.untold))
        return f"holds what the policy keeps while {states}, and no declared system tells whether that is so"

    def not_done_by(self, policy: Policy) -> frozenset[str]:
        """Categories that the policy keeps, restricts or anonymises in an erasure, which its adapter cannot."""
        does = self.capable.on_erasure
        known = ((held, policy.category(held)) for held in self.categories)
        other = ((held, c.on_erasure) for held, c in known if c and not c.is_customers and c.on_erasure not in does)
        # What a state of a contract or an invoice keeps, the system knows that holds it; a period counts everywhere.
        return frozenset(held for held, does in other if does is not OnErasure.RESTRICT or policy.keeps(held))

    @property
    def tells_people_apart(self) -> bool:
        """Whether it may show that several people have an address or a number, so that nothing is done by it."""
        return self.capable.tells_holders_apart or self.capable.tells_people_apart

    @property
    def weighs_claims(self) -> bool:
        """Whether it may be told an account that is only claimed: it compares what the rows say which that finds."""
        heeded = self.capable.weighs_claims
        return heeded and not (self.assigns or self.confirmed_elsewhere)

    @property
    def never_told_apart(self) -> tuple[str, ...]:
        """What of it is filed by an account alone, of which neither it nor a register tells whose that is."""
        return self.capable.never_told_apart if self.weighs_claims else ()

    @property
    def may_contradict(self) -> bool:
        """Whether its rows may name another person beside an account, so that it is asked before anything is done."""
        named = self.needs & {IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI}
        return self.weighs_claims and IdentityType.ACCOUNT_ID in self.needs and bool(named)

    @property
    def heeds_periods(self) -> bool:
        """Whether it finds, by what was a person's until a day, nothing of whoever has that since."""
        return self.capable.heeds_periods or self.capable.tells_holders_apart

    @property
    def not_compared(self) -> tuple[str, ...]:
        """What of it nobody compares with the list of those who get no marketing; its own name: all of it."""
        if Operation.SUPPRESS in self.not_held or self.capable.asks_before_marketing:
            return ()
        tells = isinstance(self.adapter, Marketable)
        return self.capable.not_compared if tells else (self.name,)

    def by_hand(self, operation: Operation) -> bool:
        """Whether a person must do it there: it holds what that is about, and its adapter has no such operation."""
        return operation in BY_HAND - self.not_held and not self.can(operation)

    def tells_apart(self, tenant: str | None) -> bool:
        """Whether it can be asked for that tenant's data and no other's; None: for ours."""
        return tenant is None or self.tenants is None or tenant in self.tenants

    def may_hear(self, identities: Iterable[Identity]) -> tuple[Identity, ...]:
        """What its adapter may search it by, no account id of another namespace; a name stays to check a hit with."""
        known = (i for i in identities if i.type in self.needs or i.type is IdentityType.NAME or i.source == self.name)
        if (speaking := self.accounts_from) is None:
            return tuple(known)
        return tuple(i for i in known if i.type is not IdentityType.ACCOUNT_ID or i.source in {self.name, *speaking})

    def operate(self, operation: Operation) -> Operate:
        """The adapter's method for that operation."""
        method: Operate = getattr(self.adapter, METHODS[operation])
        return method
