"""Which entries of the evidence say that somebody has looked, and changed nothing."""

from typing import Final

LOOKS: Final = (".read", ".viewed", ".printed", ".fetched", ".exported")
"""How their actions end. Who did no more has handled nothing."""
