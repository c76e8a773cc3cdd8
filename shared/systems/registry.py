"""Loads the systems of the downstreams file with their adapters.

An adapter's code is imported only if a system of its kind is declared.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self

from shared.domain.clock import Clock, SystemClock
from shared.domain.errors import Fault, Misconfigured, all_of, of_variable
from shared.domain.operations import ANSWERING, Operation, Stages
from shared.domain.policy import OVERLAY, Policy, read_policy
from shared.domain.proofs import ProofPolicy, proof_policy
from shared.domain.topics import Message
from shared.systems.bus.settings import BusSettings
from shared.systems.bus.upload import NoUploads, Uploads
from shared.systems.contract import Publish
from shared.systems.downstream import Downstream
from shared.systems.file import Table, read, system_fingerprint
from shared.systems.http.settings import DeclaredHttpSettings
from shared.systems.opendsr.settings import OpenDsrSettings
from shared.systems.plan import stages
from shared.systems.protocols import METHODS, Adapter, NumberSource
from shared.systems.relations import account_sources, with_finders, with_register, with_states
from shared.systems.roundup.settings import RoundupSettings
from shared.systems.sql.server import is_mariadb
from shared.systems.sql.settings import SqlSettings
from shared.systems.tryton.settings import TrytonSettings


async def refuse_to_send(messages: Sequence[Message]) -> None:
    """Refuses to send, for commands that must not."""
    raise Misconfigured(f"a check sends nothing, and was asked to send {len(messages)} messages")


@dataclass(frozen=True, slots=True)
class Wiring:
    """Dependencies of adapters; the file names secrets, and ``environment`` holds them."""

    environment: Mapping[str, str] = field(repr=False)
    clock: Clock
    publish: Publish
    token_key: bytes = field(repr=False)
    uploads: Uploads = field(default_factory=NoUploads)
    policy: Policy = field(default_factory=read_policy, repr=False)

    @classmethod
    def of_command(cls, policy: Policy | None = None) -> Self:
        """Returns the wiring of a command, which sends nothing.

        Raises:
            Misconfigured: a file of the company's policy is unusable
        """
        overlay = os.environ.get(OVERLAY)
        policy = policy or of_variable(OVERLAY, partial(read_policy, Path(overlay) if overlay else None))
        return cls(os.environ, SystemClock(), refuse_to_send, b"", policy=policy)


class Downstreams:
    """All systems of the downstreams file that are in use."""

    def __init__(self, downstreams: Mapping[str, Downstream]) -> None:
        self._downstreams = downstreams

    @classmethod
    def load(cls, path: Path, wiring: Wiring) -> Self:
        """Builds an adapter for every system of the file; none connects before it is needed.

        Raises:
            Misconfigured: the file is unusable, or a secret that it names is not set
        """
        declared = [each for each in read(path, wiring.environment) if each.enabled]
        if len(assigning := [each.name for each in declared if each.assigns]) > 1:
            raise Misconfigured(f"{path}: {' and '.join(assigning)} have assigns = true; one says whose a number is")
        declared = [replace(each, accounts_from=account_sources(each.accounts, declared)) for each in declared]
        policy = proof_policy(wiring.policy.overlay)
        places = Table.each_of(path, {each.name: each for each in declared})
        connected = all_of(partial(connect, places[each.name], each, wiring, policy) for each in declared)
        connected = with_finders(with_register(connected))
        return cls({each.name: each for each in with_states(connected, wiring.policy)})

    async def close(self) -> None:
        await asyncio.gather(*(each.adapter.close() for each in self._downstreams.values() if each.adapter))

    def get(self, name: str) -> Downstream:
        """Returns the system of that name.

        Raises:
            Misconfigured: there is none
        """
        try:
            return self._downstreams[name]
        except KeyError:
            known = ", ".join(self._downstreams)
            raise Misconfigured(f"no downstream {name!r}: the downstreams file declares {known}") from None

    @property
    def all(self) -> tuple[Downstream, ...]:
        return tuple(self._downstreams.values())

    def that_can(self, operation: Operation) -> tuple[Downstream, ...]:
        """Returns the systems whose adapter has the operation."""
        return tuple(each for each in self.all if each.can(operation))

    @property
    def fingerprints(self) -> dict[str, str]:
        """Returns the hash of each system's table and dataset."""
        return {each.name: each.fingerprint for each in self.all}

    def by_hand(self, operation: Operation) -> frozenset[str]:
        """Returns the systems in which a person must do the operation."""
        return frozenset(each.name for each in self.all if each.by_hand(operation))

    def stages(self, operation: Operation) -> Stages:
        """Returns the order in which systems are worked, including those that a person works."""
        able = [each for each in self.all if each.can(operation) or each.by_hand(operation)]
        # If it concerns none of them, they report that themselves.
        doing = [each for each in able if operation not in each.not_held] or able
        locating = self.that_can(Operation.LOCATE) if operation in ANSWERING | {Operation.PLAN} else ()
        return stages(doing, operation, locating)

    @property
    def on_the_bus(self) -> tuple[str, ...]:
        """Returns the systems that answer on ``dsr.tasks.<system>.replies``."""
        return tuple(each.name for each in self.all if each.adapter and isinstance(each.settings, BusSettings))


def connect(place: Table, declared: Downstream, wiring: Wiring, policy: ProofPolicy) -> Downstream:
    """Returns the declaration with its adapter, which connects at first use.

    Raises:
        Misconfigured: a variable is not set, or the declaration is inconsistent
    """
    unset = [(key, name) for key, name in declared.settings or () if key.endswith("_env") and name is not None]
    if faults := [
        place.fault(f"{key} names {name}, which is not set; export {name} before the service starts")
        for key, name in unset
        if not wiring.environment.get(name)
    ]:
        raise Misconfigured(*faults)
    if isinstance(declared.settings, SqlSettings):
        name = declared.settings.dsn_env
        try:
            is_mariadb(wiring.environment[name])
        except Misconfigured as error:
            raise Misconfigured(place.fault(f"dsn_env names {name}, which {error}")) from None
    adapter = of_variable(str(place), partial(_adapter, declared, wiring))
    if faults := list(_unsupported_settings(place, declared, adapter)):
        raise Misconfigured(*faults)
    can = adapter.can
    not_held = declared.not_held | can.not_held
    if isinstance(declared.settings, SqlSettings) and can.declared_categories & wiring.policy.by_consent_alone:
        not_held -= {Operation.SUPPRESS}  # it goes when consent is withdrawn
    categories = declared.categories.union(can.declared_categories, can.categories)
    declared = replace(
        declared,
        categories=categories,
        needed=policy.needed(categories),
        unclassified_categories=tuple(policy.unknown(categories)),
    )
    declared = replace(declared, not_held=not_held, tenants=can.tenants)
    declared = replace(declared, adapter=adapter, fingerprint=system_fingerprint(declared))
    # Yielded types of its dataset or declaration count even if the file does not name them.
    declared = replace(declared, yields=declared.yields.union(can.yields or ()))
    return replace(declared, unsupported_categories=declared.unsupported_under(wiring.policy))


def _unsupported_settings(place: Table, declared: Downstream, adapter: Adapter) -> Iterator[Fault]:
    """Yields the settings that its kind of system cannot fulfil."""
    settings = declared.settings
    if isinstance(settings, BusSettings) and Operation.EXPORT in settings.worked and not declared.categories:
        says = "export needs categories; write those of which the team gives rows"
        yield place.fault(says)
    if declared.yields and not hasattr(adapter, METHODS[Operation.LOCATE]):
        yield place.fault("yields needs a system that can be searched, and this kind cannot; leave it out")
    yielded = adapter.can.yields
    if yielded is not None and (silent := sorted(declared.yields - yielded)):
        says = (
            f"yields has {' and '.join(silent)}, which nothing of its dataset or declaration tells: holds and other"
            " requests that are filed by it would not be seen; say yields there, or leave it out here"
        )
        yield place.fault(says)
    if declared.assigns and not isinstance(adapter, NumberSource):
        says = "assigns needs a system that can list its numbers, and this kind cannot; leave it out"
        yield place.fault(says)
    if missing := sorted(adapter.can.searched_by - declared.needs - declared.yields):
        says = (
            f"needs lacks {' and '.join(missing)}, by which it would be searched, and a system receives only what it"
            " needs; add to needs, or take from the rest of what is declared of it"
        )
        yield place.fault(says)


def _adapter(declared: Downstream, wiring: Wiring) -> Adapter:
    name, environment = declared.name, wiring.environment
    match declared.settings:
        case SqlSettings() as settings:
            from shared.systems.sql.adapter import SqlAdapter  # noqa: PLC0415

            return SqlAdapter(name, settings, environment=environment, policy=wiring.policy)
        case TrytonSettings() as settings:
            from shared.systems.tryton.adapter import TrytonAdapter  # noqa: PLC0415

            return TrytonAdapter(name, settings, environment=environment, policy=wiring.policy)
        case RoundupSettings() as settings:
            from shared.systems.roundup.adapter import RoundupAdapter  # noqa: PLC0415

            return RoundupAdapter(name, settings, environment=environment, policy=wiring.policy)
        case OpenDsrSettings() as settings:
            from shared.systems.opendsr.adapter import OpenDsrAdapter  # noqa: PLC0415

            return OpenDsrAdapter(name, settings, clock=wiring.clock, environment=environment)
        case DeclaredHttpSettings() as settings:
            from shared.systems.http.adapter import HttpAdapter  # noqa: PLC0415

            return HttpAdapter(name, settings, clock=wiring.clock, environment=environment, policy=wiring.policy)
        case BusSettings() as settings:
            from shared.systems.bus.adapter import BusAdapter  # noqa: PLC0415

            return BusAdapter(
                name,
                settings,
                needs=declared.needs,
                publish=wiring.publish,
                token_key=wiring.token_key,
                clock=wiring.clock,
                uploads=wiring.uploads,
                categories=declared.categories,
            )
        case _:
            raise Misconfigured(f"{name}: no adapter has settings of this kind")
