"""What the demonstration prints when the requests are at rest: sections, a line per fact, then how to look further."""

from collections.abc import Iterable, Mapping
from itertools import count

from rich.console import Console

from deploy.demo.board import SubmittedRequest
from deploy.demo.finding import Finding, Section
from deploy.demo.sections import planned
from shared.domain.policy import Policy
from shared.domain.rights import Right


class Report:
    """Prints sections and remembers whether all of their findings hold."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._numbers = count(1)
        self.failed = 0

    def section(self, section: Section) -> None:
        """One thing that is shown."""
        self._console.print(f"\n[bold]{next(self._numbers)}[/]  ", end="")
        self._console.print(section.title, style="bold", markup=False, highlight=False, soft_wrap=True)
        for line in section.lines:
            if isinstance(line, Finding):
                self._finding(line)
            else:
                self._say(f"   {line}")

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

    def _finding(self, finding: Finding) -> None:
        mark = "[green]✓[/]" if finding.holds else "[bold red]✗[/]"
        self._console.print(f"   {mark} ", end="")
        self._say(finding.words)
        self.failed += not finding.holds

    def _say(self, words: str) -> None:
        self._console.print(words, markup=False, highlight=False, soft_wrap=True)


def of_requests(title: str, requests: Iterable[SubmittedRequest], policy: Policy) -> Section:
    """Requests one after the other: the case, what the systems did or what the person is told, what was looked up."""
    section = Section(title)
    for request in requests:
        person = request.part.person
        section.say("", f"{person.name} ({person.country}), {request.part.right}: {request.part.shows}")
        if request.part.right is Right.ERASURE:
            section.say(*planned.table(planned.of_receipts(request.view, policy), policy))
        else:
            section.say(str(request.view.get("answer", "")))
        section.lines += request.findings
    return section
