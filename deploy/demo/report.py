"""What the demonstration prints when the requests are at rest: per request what was done, then how to look further."""

import os
from collections.abc import Mapping, Sequence

from rich.console import Console

from deploy.demo.board import Finding, SubmittedRequest


class Report:
    """Prints findings and remembers whether all of them hold."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.failed = 0

    def request(self, request: SubmittedRequest) -> None:
        """One request: its case, the receipts of the systems, what was looked up, and where the proof is."""
        person = request.part.person
        title = f"\n[bold]{request.part.right}[/]  {person.name}: [italic]{request.part.shows}[/]"
        self._console.print(title, highlight=False, soft_wrap=True)
        self._say(f"  {request.view.get('answer', '')}")
        for task in request.view.get("tasks", ()):
            counts = f"found {task['found']:,}, changed {task['changed']:,}, remaining {task['remaining']:,}"
            outcome = task.get("outcome") or f"failed: {task.get('failure')}"
            self._say(f"  {task['system']:10} {task['operation']:9} {outcome:10} {counts}")
        self.findings(request.findings)
        for file in request.files:
            self._say(f"  → {os.path.relpath(file)}")

    def findings(self, findings: Sequence[Finding]) -> None:
        """What was looked up past the product."""
        for finding in findings:
            mark = "[green]✓[/]" if finding.holds else "[bold red]✗[/]"
            self._console.print(f"  {mark} ", end="")
            self._say(finding.words)
            self.failed += not finding.holds

    def further(self, commands: Mapping[str, str]) -> None:
        """How to look further."""
        self._console.print("\n[bold]Look further[/]")
        for what, command in commands.items():
            self._console.print(f"  [dim]{what}[/]")
            self._say(f"    {command}")

    def verdict(self, seconds: float) -> None:
        """How it went."""
        good, bad = "[green]All is as it should be.[/]", f"[bold red]{self.failed} findings do not hold.[/]"
        self._console.print(f"\n{bad if self.failed else good} {seconds:.0f} s in all.")

    def _say(self, words: str) -> None:
        self._console.print(words, markup=False, highlight=False, soft_wrap=True)
