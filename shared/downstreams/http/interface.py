"""One declared system, as everything that is done in it has it."""

from dataclasses import dataclass

from shared.downstreams.contract import Checkpoint
from shared.downstreams.http.declaration import Declaration
from shared.downstreams.http.search import Search
from shared.downstreams.http.session import Session
from shared.downstreams.http.settings import DeclaredHttpSettings


@dataclass(frozen=True, slots=True)
class Interface:
    """What it is called, what its table and its declaration say, and how it is asked and searched."""

    system: str
    settings: DeclaredHttpSettings
    declaration: Declaration
    session: Session
    search: Search


class Work:
    """One call of an operation that changes something there."""

    def __init__(self, interface: Interface, save_progress: Checkpoint) -> None:
        self._system = interface.system
        self._settings = interface.settings
        self._declaration = interface.declaration
        self._session = interface.session
        self._search = interface.search
        self._save_progress = save_progress
