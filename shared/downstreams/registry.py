"""The systems that a process works with: built from the downstreams file, found by name and by what they can do."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self, assert_never

from shared.domain.clock import Clock
from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, Stages
from shared.downstreams.bus.adapter import BusAdapter, BusSettings, Publish
from shared.downstreams.contract import CAN, Locatable
from shared.downstreams.declarations import Declaration, read
from shared.downstreams.opendsr import OpenDsrAdapter, OpenDsrSettings
from shared.downstreams.plan import System, stages
from shared.downstreams.roundup import RoundupAdapter, RoundupSettings
from shared.downstreams.sql import SqlAdapter, SqlSettings
from shared.downstreams.tryton import TrytonAdapter, TrytonSettings


class Adapter(Protocol):
    """What every adapter has besides the operations of its system."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Wiring:
    """What adapters are given besides their table; the file names secrets, and ``environment`` holds them."""

    environment: Mapping[str, str] = field(repr=False)
    clock: Clock
    publish: Publish
    claim_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Downstream:
    """One system: what it needs to be searched by, and the adapter that reaches it."""

    system: str
    needs: frozenset[IdentityType]
    yields: frozenset[IdentityType]
    adapter: Adapter


class Downstreams:
    """All systems of the downstreams file."""

    def __init__(self, downstreams: Mapping[str, Downstream]) -> None:
        self._downstreams = downstreams

    @classmethod
    def load(cls, path: Path, wiring: Wiring) -> Self:
        """Build an adapter for every system of the file.

        Raises:
            Misconfigured: the file cannot be used, or a secret that it names is not in the environment.
        """
        declared = [each for each in read(path, wiring.environment) if each.enabled]
        return cls({each.system.name: _downstream(path, each, wiring) for each in declared})

    async def close(self) -> None:
        """Close all adapters."""
        await asyncio.gather(*(downstream.adapter.close() for downstream in self._downstreams.values()))

    def get(self, system: str) -> Downstream:
        """The system of that name; raises ``Misconfigured``."""
        try:
            return self._downstreams[system]
        except KeyError:
            known = ", ".join(self._downstreams)
            raise Misconfigured(f"no downstream {system!r}: the downstreams file declares {known}") from None

    def that_are(self, protocol: type) -> tuple[System, ...]:
        """The systems whose adapter has this power: ``that_are(Erasable)``."""
        able = (each for each in self._downstreams.values() if isinstance(each.adapter, protocol))
        return tuple(System(each.system, each.needs, each.yields) for each in able)

    def stages(self, operation: Operation) -> Stages:
        """The order in which the systems that can do it are worked."""
        return stages(self.that_are(CAN[operation][0]), operation)

    @property
    def on_the_bus(self) -> tuple[str, ...]:
        """The systems that answer on ``dsr.tasks.<system>.replies``."""
        return tuple(each.system for each in self._downstreams.values() if isinstance(each.adapter, BusAdapter))


def _downstream(path: Path, declared: Declaration, wiring: Wiring) -> Downstream:
    system = declared.system
    where = f"{path}: [{system.name}]"
    for key, name in declared.settings:
        if key.endswith("_env") and name is not None and not wiring.environment.get(name):
            raise Misconfigured(
                f"{where}: {key} names {name}, which is not set; export {name} before the service starts"
            )
    adapter = _adapter(declared, wiring)
    if system.yields and not isinstance(adapter, Locatable):
        raise Misconfigured(f"{where}: yields needs a system that can be searched, and this kind cannot; leave it out")
    return Downstream(system.name, system.needs, system.yields, adapter)


def _adapter(declared: Declaration, wiring: Wiring) -> Adapter:
    name, environment = declared.system.name, wiring.environment
    match declared.settings:
        case SqlSettings() as settings:
            return SqlAdapter(name, settings, environment=environment)
        case TrytonSettings() as settings:
            return TrytonAdapter(name, settings, environment=environment)
        case RoundupSettings() as settings:
            return RoundupAdapter(name, settings, environment=environment)
        case OpenDsrSettings() as settings:
            return OpenDsrAdapter(name, settings, clock=wiring.clock, environment=environment)
        case BusSettings() as settings:
            return BusAdapter(name, settings, publish=wiring.publish, claim_key=wiring.claim_key, clock=wiring.clock)
        case _:
            assert_never(declared.settings)
