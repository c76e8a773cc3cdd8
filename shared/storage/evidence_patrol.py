"""Walks a chain of evidence from its beginning to its end, some entries at a time, and begins anew: Art. 5(2)."""

from shared.domain.topics import ServiceName
from shared.storage.evidence import ENTRIES, GENESIS, first_break
from shared.storage.postgres import Connection

STEP = 1_000
"""Entries checked at a time."""
_HEAD = "SELECT seq, hash FROM evidence.head WHERE chain = $1"


class ChainVerifier:
    """Where the walk along one chain has come; what it found broken is broken until a whole round finds it whole."""

    def __init__(self, chain: ServiceName) -> None:
        self._chain = chain
        self._seq, self._hash = 0, GENESIS
        self._broken, self._broken_in_this_round = False, False

    async def walk(self, connection: Connection) -> tuple[int, bool]:
        """Checks the next entries; returns how many, and whether the chain is known to be broken."""
        head = await connection.fetchrow(_HEAD, self._chain)
        end, end_hash = (head[0], head[1]) if head else (0, GENESIS)
        rows = await connection.fetch(ENTRIES, self._chain, self._seq, min(end, self._seq + STEP))
        if (broken := first_break(rows, self._hash)) is not None:
            self._found_broken()
            rows = [row for row in rows if row["seq"] <= broken[1]]
        elif not rows and self._seq < end:
            self._found_broken()  # entries are missing here
            self._seq, self._hash = end, end_hash
        if rows:
            self._seq, self._hash = rows[-1]["seq"], rows[-1]["hash"]
        if self._seq >= end:
            self._end_round(whole=(self._seq, self._hash) == (end, end_hash))
        return len(rows), self._broken

    def _found_broken(self) -> None:
        self._broken = self._broken_in_this_round = True

    def _end_round(self, *, whole: bool) -> None:
        if not whole:
            self._found_broken()
        self._broken, self._broken_in_this_round = self._broken_in_this_round, False
        self._seq, self._hash = 0, GENESIS
