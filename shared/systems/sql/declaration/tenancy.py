"""Whose a row is that says it: ours, or a customer's for whom we only process it; declared, never guessed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.domain.errors import Misconfigured
from shared.systems.sql.declaration.dataset import Dataset
from shared.systems.sql.settings import SqlSettings


@dataclass(frozen=True)
class Tenancy:
    """By tenant the values of the tenant columns, in small letters; ``None``: those of our own customers."""

    values: Mapping[str | None, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: SqlSettings, dataset: Dataset) -> "Tenancy":
        """What a table of the downstreams file says.

        Raises:
            Misconfigured: its dataset tells tenants apart and it does not say whose the values are, or the opposite.
        """
        told = bool(settings.tenants or settings.ours)
        if dataset.tells_apart and not settings.ours:
            raise Misconfigured(
                f"the dataset {dataset.name} tells tenants apart: write ours = [...], the values of our own customers"
            )
        if told and not dataset.tells_apart:
            raise Misconfigured(
                f"no table of the dataset {dataset.name} tells tenants apart: leave tenants and ours out, or write"
                ' tenant = "<column>" in it'
            )
        own: list[tuple[str | None, tuple[str, ...]]] = [*settings.tenants.items()]
        own += [(None, settings.ours)] if settings.ours else []
        return cls({tenant: tuple(value.lower() for value in values) for tenant, values in own})

    def knows(self, tenant: str | None) -> bool:
        """Whether it can be said which rows are that tenant's; of a store without tenants all are ours."""
        return tenant is None or tenant in self.values
