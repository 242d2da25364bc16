"""The dashboard in a real browser, on a laptop and on a phone, over a running `penstock up` with the sample."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from penstock.local.postgres import EmbeddedPostgres
from tests.e2e.checkout import Up, copy_project

CHROMIUM = "/usr/bin/chromium"
SCREENS = {"laptop": (1366, 860), "phone": (390, 844)}
# Without these, Chromium asks hosts of its maker for updates, which a closed network answers with delays.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--disable-component-update",
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    outer = Path(tempfile.mkdtemp(prefix="penstock-browser-"))
    outer.chmod(0o755)
    folder = copy_project(outer / "penstock")
    up = Up(folder).ready()
    yield f"http://127.0.0.1:{up.port}/"
    assert up.signal() == 0
    EmbeddedPostgres(folder / ".penstock" / "postgres").remove()
    shutil.rmtree(outer)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture(params=SCREENS)
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    width, height = SCREENS[request.param]
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda failed: complaints.append(failed.url))
    page.goto(address)
    page.wait_for_selector("#products tbody tr:nth-child(10)")
    yield page
    assert complaints == []
    context.close()


def test_the_figures_are_those_of_december_2010(page: Page) -> None:
    assert page.inner_text("#figure-revenue") == "823,746.14"
    assert page.inner_text("#figure-orders") == "1,559"
    assert page.inner_text("#figure-average") == "528.38"
    assert page.inner_text("#figure-customers") == "885"
    assert page.inner_text("#months tbody tr td:first-child") == "December 2010"
    assert page.inner_text("#note-days") == "1 Dec – 31 Dec 2010"
    assert "REGENCY CAKESTAND 3 TIER" in page.inner_text("#products tbody tr:first-child")
    assert "import_file" in page.inner_text("#runs")


def test_the_charts_are_drawn(page: Page) -> None:
    for chart in ("#chart-revenue", "#chart-orders"):
        inked = page.eval_on_selector(
            f"{chart} canvas",
            "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
            ".filter((value, i) => i % 4 == 3 && value > 0).length",
        )
        assert inked > 1000


def test_nothing_is_wider_than_the_screen(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    clipped = page.evaluate(
        "[...document.querySelectorAll('section')].filter(s => s.scrollWidth > s.clientWidth).map(s => s.innerText)"
    )
    assert clipped == []


def test_after_quiet_weeks_the_last_busy_month_is_shown(browser: Browser, address: str) -> None:
    def answer(route: Route) -> None:
        if "before=" in route.request.url:
            assert "before=2011-01-01" in route.request.url
            route.continue_()
        else:
            quiet = {"day": "2012-03-01", "order_count": 0, "total_revenue": "0"}
            route.fulfill(json={"rows": [quiet], "next": None, "refreshed_at": "2012-03-02T02:00:00Z"})

    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/v1/views/daily_analytics*", answer)
        page.goto(address)
        page.wait_for_selector("#products tbody tr:nth-child(10)")
        page.wait_for_function("document.getElementById('note-days').textContent === '1 Dec – 31 Dec 2010'")


def test_an_api_that_fails_is_said_on_the_page(browser: Browser, address: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.route(
            "**/v1/runs*", lambda route: route.fulfill(status=503, json={"detail": "Postgres cannot be reached"})
        )
        page.goto(address)
        page.wait_for_selector("#problem:not([hidden])")
        assert "Postgres cannot be reached" in page.inner_text("#problem")


def test_a_page_that_needs_a_key_asks_for_it_and_uses_it(browser: Browser, address: str) -> None:
    seen: list[str | None] = []

    def answer(route: Route) -> None:
        seen.append(route.request.headers.get("authorization"))
        if seen[-1] is None:
            route.fulfill(status=401, json={"detail": "no key"})
        else:
            route.continue_()

    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/v1/**", answer)
        page.goto(address)
        page.fill("#key", "a-key")
        page.click("dialog button")
        page.wait_for_selector("#products tbody tr:nth-child(10)")
        assert seen[-1] == "Bearer a-key"
        assert page.evaluate("localStorage.length") == 0
