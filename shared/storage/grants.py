"""Grants each service's database role what it needs; skips roles that do not exist, as on a single machine.

Every service changes its own schema and the vault, adds evidence without changing it, and reads the register.
Deadline fills the register, and intake adds reported changes of numbers.
Correspondence deletes nothing of the vault, and sees neither its holds nor the register.
Intake approves sweeps and sets the state of systems. Erasure and amendment add to the suppression list.
"""

from collections.abc import Iterator

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from shared.domain.topics import ServiceName

AUTOSCALER = "dsr_autoscaler"
"""The role with which the scaler counts tasks, and can do nothing else."""

DASHBOARDS = "dsr_dashboards"
"""The role with which the privacy team's Grafana reads what was done and when it is due, never who it is about."""

FULFILLING = (ServiceName.ERASURE, ServiceName.EXPORT, ServiceName.AMENDMENT, ServiceName.DEADLINE)
"""The services that have tasks."""


def role(service: ServiceName) -> str:
    """Returns the database role of a service."""
    return f"dsr_{service}"


def _privileges() -> Iterator[tuple[str, str]]:
    """Yields each role with each privilege that it needs."""
    for service in ServiceName:
        name = role(service)
        for schema in (service.value, "vault"):
            yield name, f"USAGE ON SCHEMA {schema}"
        yield name, f"SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {service}"
        yield name, "USAGE ON SCHEMA evidence"
        yield name, "SELECT, INSERT ON evidence.entry, evidence.batch"
        yield name, "SELECT, INSERT, UPDATE ON evidence.head"
        yield name, "SELECT ON public.schema_file"
    for service in set(ServiceName) - {ServiceName.CORRESPONDENCE}:
        yield role(service), "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA vault"
        yield role(service), "USAGE ON SCHEMA register"
        yield role(service), "SELECT ON ALL TABLES IN SCHEMA register"
    yield role(ServiceName.CORRESPONDENCE), "SELECT, INSERT ON vault.subject"
    yield role(ServiceName.CORRESPONDENCE), "SELECT, INSERT, UPDATE ON vault.sealed"
    yield role(ServiceName.DEADLINE), "INSERT, UPDATE, DELETE ON register.source, register.assignment, register.reading"
    yield role(ServiceName.INTAKE), "INSERT, UPDATE (kind, request_id, settled_at, settled_by) ON register.conflict"
    yield role(ServiceName.INTAKE), "INSERT, UPDATE (valid_to, learned_at) ON register.assignment"
    yield role(ServiceName.INTAKE), "UPDATE (unannounced) ON register.source"
    for service in (ServiceName.AMENDMENT, ServiceName.ERASURE):
        yield role(service), "INSERT, UPDATE (looked_at) ON register.suppression"
    yield role(ServiceName.AMENDMENT), "INSERT, UPDATE (since) ON register.consent_withdrawn"
    yield role(ServiceName.INTAKE), "USAGE ON SCHEMA downstreams"
    yield role(ServiceName.INTAKE), "SELECT, UPDATE (confirmed_by) ON downstreams.sweep"
    yield role(ServiceName.INTAKE), "SELECT, UPDATE (state, reason, since) ON downstreams.system"
    for service in FULFILLING:
        yield role(service), "INSERT, UPDATE (kind, request_id) ON register.conflict"
        yield role(service), "USAGE ON SCHEMA downstreams"
        yield role(service), "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA downstreams"
        yield AUTOSCALER, f"USAGE ON SCHEMA {service}"
        yield AUTOSCALER, f"SELECT (state, due_on) ON {service}.task"
    for schema, table in (("evidence", "entry"), ("deadline", "clock")):
        yield DASHBOARDS, f"USAGE ON SCHEMA {schema}"
        yield DASHBOARDS, f"SELECT ON {schema}.{table}"


async def give(connection: asyncpg.Connection | PoolConnectionProxy) -> None:
    """Grants the privileges to existing roles, in the caller's transaction; safe to repeat."""
    there = {row[0] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    for name, privilege in _privileges():
        if name in there:
            await connection.execute(f"GRANT {privilege} TO {name}")
