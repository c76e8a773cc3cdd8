"""A request through the portal, page by page in a browser, as somebody makes it who has signed in."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Page, async_playwright

from deploy.demo.client import DsrClient
from deploy.demo.finding import Section
from deploy.demo.sites import Sites
from deploy.local.chromium import Chromium
from services.export import check

_WIDE, _HIGH = 1000, 1400


async def portal(client: DsrClient, sites: Sites, folder: Path) -> Section:
    """Somebody signs in, asks for a copy, follows it and fetches it; a picture goes into the folder."""
    section = Section(f"A request through the portal, page by page: {sites.visitor.name} ({sites.visitor.country})")
    chromium = await asyncio.to_thread(Chromium.found)
    if chromium is None:
        section.say("no Chromium on this machine: open the portal in any browser, and sign in as below")
        return section
    seen = await _seen(client, sites, chromium, folder)
    section.say(
        f"asked     for a copy, reference {seen.reference}", f"read      {seen.answer}", f"picture   {seen.picture}"
    )
    view = await client.read(seen.reference)
    found = [each["found"] for each in view["coverage"] if each["category"]]
    counts = [int("".join(filter(str.isdigit, row.split()[-1]))) for row in seen.rows]
    section.find(counts == found != [], f"it shows what was found where, as the API does: {sum(found):,} records")
    actions = [entry["action"] for entry in await client.timeline(seen.reference)]
    fetched = not check.check(seen.package).faults and "package.downloaded" in actions
    section.find(fetched, "the package that was fetched there is whole, and that it was fetched is on record")
    section.find(not seen.refused, "; ".join(["the browser has refused nothing", *seen.refused]))
    return section


@dataclass(frozen=True)
class _Seen:
    """What the browser has shown: the answer, a row for each kind of data, what was downloaded, and what it refused."""

    reference: str
    answer: str
    rows: Sequence[str]
    package: bytes
    picture: str
    refused: Sequence[str]


async def _seen(client: DsrClient, sites: Sites, chromium: Chromium, folder: Path) -> _Seen:
    environment: dict[str, str | float | bool] = {"PATH": os.defpath, "HOME": str(folder), **chromium.env}
    refused: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium.program, env=environment, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = await browser.new_page(viewport={"width": _WIDE, "height": _HIGH})
        page.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)
        reference = await _asked(page, sites)
        await client.follow(reference, "closed")
        await page.reload()
        answer = f"{await page.inner_text('h1')}: {await page.inner_text('main h2 + p')}"
        rows = await page.locator("tbody tr").all_inner_texts()
        picture = folder / "portal.png"
        await page.screenshot(path=picture, full_page=True)
        async with page.expect_download() as downloading:
            await page.click("a[href*='/package?']")
        package = await asyncio.to_thread(Path(await (await downloading.value).path()).read_bytes)
        await browser.close()
    return _Seen(reference, answer, rows, package, await asyncio.to_thread(os.path.relpath, picture), refused)


async def _asked(page: Page, sites: Sites) -> str:
    """From the customer portal to the request; its reference."""
    await page.goto(sites.customers.url)
    await page.click(f"a[href$='={sites.visitor.code}']")
    await page.click("main button")
    await page.check("input[value=access]")
    await page.click("main button")
    await page.check("input[value=me]")
    await page.click("main button")
    for _ in ("contact", "details", "check"):
        await page.click("main form button")
    await page.click("main a.button")
    return await page.inner_text("dd.reference")
