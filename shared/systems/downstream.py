"""One system of the downstreams file: its declaration and its adapter."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import BY_HAND, FULFILLED_BY, Operation
from shared.domain.policy import OnErasure, Policy
from shared.domain.proofs import ProofAction
from shared.domain.rights import LEVELS, Level
from shared.domain.topics import ServiceName
from shared.systems.capabilities import Capabilities
from shared.systems.conformance.declared import Conformance
from shared.systems.protocols import METHODS, Adapter, AdapterCall, MarketingList, Replaceable

_DEFAULTS = Capabilities()


@dataclass(frozen=True, slots=True)
class Downstream:
    """One system: any one of the identity types in ``needs`` suffices to search it; it ``yields`` others.

    - ``enabled``: False: declared, but not in use yet, and without an adapter
    - ``fingerprint``: hash of its table and dataset
    - ``assigns``: the register of number assignments is filled from it
    - ``not_held``: operations that concern nothing there
    - ``accounts``: the namespace of its account IDs; ``accounts_from``: sources of IDs of that namespace (None: any);
      ``accounts_found_by``: other systems that find them
    - ``tenants``: customers whose data it separates (None: any)
    - ``categories``: what it holds; ``needed``: by action, the level of proof that these need
    - ``unsupported_categories``: categories that the policy treats in a way that the adapter cannot
    - ``unreported``: states that keep data there and that no system reports; ``to_declare``: how to have them reported
    - ``states_from_others``: states that another system reports for it
    - ``states_without_rule``: a sentence for each state that it reports and by which no rule keeps data
    - ``unclassified_categories``: categories missing in the policy of proofs
    - ``confirmed_elsewhere``: another system knows whose an account is
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
    needed: Mapping[ProofAction, Level] = field(default_factory=lambda: dict.fromkeys(ProofAction, LEVELS[-1]))
    conformance: Conformance | None = None
    unsupported_categories: frozenset[str] = frozenset()
    unreported: frozenset[str] = frozenset()
    to_declare: tuple[str, ...] = ()
    states_from_others: frozenset[str] = frozenset()
    states_without_rule: tuple[str, ...] = ()
    unclassified_categories: tuple[str, ...] = ()
    confirmed_elsewhere: bool = False

    def can(self, operation: Operation) -> bool:
        """Whether its adapter has the operation and its table does not exclude it."""
        return hasattr(self.adapter, METHODS[operation]) and operation in self.capabilities.operations

    @property
    def capabilities(self) -> Capabilities:
        """Returns the capabilities of its adapter; defaults without one."""
        return self.adapter.can if self.adapter else _DEFAULTS

    @property
    def incarnation(self) -> str:
        """Returns the identity of the store as last seen; empty if unknown."""
        return self.adapter.incarnation if isinstance(self.adapter, Replaceable) else ""

    @property
    def calling_services(self) -> Sequence[ServiceName]:
        """Returns the services that send it tasks, in a fixed order."""
        asking = {service for operation, service in FULFILLED_BY.items() if self.can(operation)}
        return [service for service in ServiceName if service in asking]

    @property
    def may_refuse(self) -> bool:
        """Whether it may refuse an erasure, so that it is asked before anything is erased."""
        refuses = self.manual_erasure_reasons or self.states_from_others or self.capabilities.may_refuse
        return self.can(Operation.PLAN) and bool(refuses)

    @property
    def finds_more(self) -> bool:
        """Whether it may find more by the identities that it yields than by those stated."""
        leads_on = self.capabilities.finds_more
        return bool(self.needs & self.yields - {IdentityType.NAME}) if leads_on is None else leads_on

    @property
    def manual_erasure_reasons(self) -> Sequence[str]:
        """Returns why a person must do each erasure there."""
        return [*filter(None, (self.unsupported_sentence, self.unreported_sentence))]

    @property
    def manual_parts(self) -> Sequence[str]:
        """Returns a sentence for each part of the policy that a person does there.

        The services use the system all the same.
        """
        remedies = (
            (self.unsupported_sentence, "let on_erasure be delete there, or a person does each erasure"),
            (self.unreported_sentence, "; ".join([*self.to_declare, "or a person does each erasure"])),
        )
        sentences = [f"{sentence}: {remedy}" for sentence, remedy in remedies if sentence]
        return [*sentences, *self.capabilities.manual_parts, *self.states_without_rule]

    @property
    def unsupported_sentence(self) -> str:
        """Returns which parts of the policy the adapter cannot do; empty if none."""
        if not self.unsupported_categories:
            return ""
        names = ", ".join(sorted(self.unsupported_categories))
        return f"holds {names}, which the policy does not let an erasure delete, and deleting is all that it can do"

    @property
    def unreported_sentence(self) -> str:
        """Returns which states no system reports; empty if none."""
        if not self.unreported:
            return ""
        states = ", ".join(sorted(self.unreported))
        return f"holds what the policy keeps while {states}, and no declared system tells whether that is so"

    def unsupported_under(self, policy: Policy) -> frozenset[str]:
        """Returns the categories that the policy does not delete and that its adapter can only delete."""
        does = self.capabilities.on_erasure
        known = ((name, policy.category(name)) for name in self.categories)
        other = ((name, c.on_erasure) for name, c in known if c and not c.is_customers and c.on_erasure not in does)
        # States are known to the system that holds the record; a period counts everywhere.
        return frozenset(name for name, does in other if does is not OnErasure.RESTRICT or policy.keeps(name))

    @property
    def distinguishes_people(self) -> bool:
        """Whether it may show that several people share an identity, which then stops a task."""
        return self.capabilities.distinguishes_holders or self.capabilities.distinguishes_people

    @property
    def checks_claimed_accounts(self) -> bool:
        """Whether it accepts claimed accounts, because it compares them with its rows."""
        heeded = self.capabilities.checks_claimed_accounts
        return heeded and not (self.assigns or self.confirmed_elsewhere)

    @property
    def unconfirmed_accounts(self) -> tuple[str, ...]:
        """Returns places filed by account alone, whose accounts neither it nor a register confirms."""
        return self.capabilities.unconfirmed_accounts if self.checks_claimed_accounts else ()

    @property
    def may_name_others(self) -> bool:
        """Whether its rows may name another person next to an account, so that it is asked first."""
        named = self.needs & {IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI}
        return self.checks_claimed_accounts and IdentityType.ACCOUNT_ID in self.needs and bool(named)

    @property
    def respects_periods(self) -> bool:
        """Whether a person's former number finds nothing of its later holder."""
        return self.capabilities.respects_periods or self.capabilities.distinguishes_holders

    @property
    def not_compared(self) -> tuple[str, ...]:
        """Returns its parts that are not compared with the suppression list; its own name: all of it."""
        if Operation.SUPPRESS in self.not_held or self.capabilities.asks_before_marketing:
            return ()
        tells = isinstance(self.adapter, MarketingList)
        return self.capabilities.not_compared if tells else (self.name,)

    def by_hand(self, operation: Operation) -> bool:
        """Whether a person must do the operation there, because the adapter cannot."""
        return operation in BY_HAND - self.not_held and not self.can(operation)

    def separates_tenant(self, tenant: str | None) -> bool:
        """Whether it can separate that tenant's data; None: the company's own."""
        return tenant is None or self.tenants is None or tenant in self.tenants

    def may_receive(self, identities: Iterable[Identity]) -> tuple[Identity, ...]:
        """Returns the identities that its adapter may receive; names are kept to check matches."""
        known = (i for i in identities if i.type in self.needs or i.type is IdentityType.NAME or i.source == self.name)
        if (speaking := self.accounts_from) is None:
            return tuple(known)
        return tuple(i for i in known if i.type is not IdentityType.ACCOUNT_ID or i.source in {self.name, *speaking})

    def operate(self, operation: Operation) -> AdapterCall:
        """Returns the adapter's method for an operation."""
        method: AdapterCall = getattr(self.adapter, METHODS[operation])
        return method
