"""The registry: every kind of thing about which there are actions."""

from collections.abc import Mapping
from typing import Final

from services.intake.actions import correspondence, incidents, requests, stopped
from services.intake.actions.kind import Kind

KINDS: Final[Mapping[str, Kind]] = {
    each.name: each for each in (requests.KIND, *stopped.KINDS, *correspondence.KINDS, incidents.INCIDENTS)
}
