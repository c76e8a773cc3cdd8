"""The answer to an access: a report that a person reads, and what is looked at in its package."""

import os
from collections.abc import Mapping
from pathlib import Path

from deploy.demo.board import SubmittedRequest
from deploy.demo.finding import Section
from deploy.local.chromium import Chromium, ChromiumFailedError
from services.export import check
from shared.domain.release import REPORT


def report(request: SubmittedRequest) -> Section:
    """The report as it is drawn where there is a browser, and what ``dsr package check`` says of the package."""
    section = Section(f"A copy to read: {request.part.person.name}")
    files: Mapping[str, Path] = {path.name.partition(".")[2]: path for path in request.files}
    if REPORT not in files:
        section.find(holds=False, words="there is no report")
        return section
    _drawn(section, files[REPORT])
    checked = check.check(request.package)
    section.say(f"dsr package check {os.path.relpath(files['zip'])}")
    answered = [item for item, stands in checked.items.items() if stands == "answered"]
    section.say(f"  answered        {' '.join(answered)}")
    section.say(*(f"  {item:15} {stands}" for item, stands in checked.items.items() if item not in answered))
    section.say(*(f"  {each.rows:6,} rows of {each.category:18} in {each.file}" for each in checked.places))
    section.find(
        not checked.faults, "; ".join(checked.faults) or "all of Art. 15 is answered, and every row has its place"
    )
    return section


def _drawn(section: Section, page: Path) -> None:
    section.say(f"report      {os.path.relpath(page)}")
    chromium = Chromium.found()
    if chromium is None:
        section.say("            no Chromium on this machine: open it in any browser")
        return
    shot = page.with_suffix(".png")
    try:
        chromium.look(page, "--window-size=1000,1400", f"--screenshot={shot}")
    except ChromiumFailedError as failed:
        section.find(holds=False, words=f"Chromium does not draw it: {failed}")
        return
    section.say(f"screenshot  {os.path.relpath(shot)}")
