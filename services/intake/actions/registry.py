"""The registry: every kind of thing about which there are actions."""

from collections.abc import Mapping
from typing import Final

from services.intake.actions import incidents, requests, stopped
from services.intake.actions.performing import Kind

KINDS: Final[Mapping[str, Kind]] = {
    each.name: each
    for each in (
        requests.KIND,
        stopped.HOLDS,
        stopped.SYSTEMS,
        stopped.KEYS,
        stopped.SWEEPS,
        stopped.CONFLICTS,
        incidents.INCIDENTS,
    )
}
