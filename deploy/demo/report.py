"""Prints the demonstration: sections with what was read, and findings that hold or do not."""

from collections.abc import Mapping
from itertools import count

from rich.console import Console


class Report:
    """Prints sections; counts in ``failed`` the findings that do not hold."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.failed = 0
        self._numbers = count(1)

    def section(self, title: str) -> None:
        """Begins a section."""
        self.console.print(f"\n[bold]{next(self._numbers)}[/]  ", end="")
        self._print(title)

    def say(self, *lines: str) -> None:
        """Prints what was read."""
        for line in lines:
            self._print(f"   {line}")

    def find(self, holds: bool, words: str) -> None:  # noqa: FBT001  # the fact comes first, as in an assertion
        """Prints what was looked up, and whether it is so."""
        self.console.print(f"   {'[green]✓[/]' if holds else '[bold red]✗[/]'} ", end="")
        self._print(words)
        self.failed += not holds

    def further(self, commands: Mapping[str, str]) -> None:
        """Prints how to look further."""
        self.console.print("\n[bold]Look further[/]")
        for what, command in commands.items():
            self.console.print(f"  [dim]{what}[/]")
            self._print(f"    {command}")

    def verdict(self, seconds: float) -> None:
        """Prints how it went."""
        good, bad = "[green]All is as it should be.[/]", f"[bold red]{self.failed} findings do not hold.[/]"
        self.console.print(f"\n{bad if self.failed else good} {seconds:.0f} s in all.")

    def _print(self, words: str) -> None:
        self.console.print(words, markup=False, highlight=False, soft_wrap=True)
