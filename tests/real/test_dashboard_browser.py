"""The dashboard in a real browser, on a laptop and on a phone, over a running `penstock up` with the sample."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

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
    assert page.inner_text("#figure-revenue") == "£823,746.14"
    assert page.inner_text("#figure-orders") == "1,559"
    assert page.inner_text("#figure-average") == "£528.38"
    assert page.inner_text("#figure-customers") == "885"
    assert page.inner_text("#months tbody tr td:first-child") == "December 2010"
    assert page.inner_text("#note-days") == "1 Dec – 31 Dec 2010"
    assert "REGENCY CAKESTAND 3 TIER" in page.inner_text("#products tbody tr:first-child")
    assert "refresh_views" in page.inner_text("#runs")


def test_the_samples_import_is_shown_with_its_account(page: Page) -> None:
    shown = page.inner_text("#imports tbody tr:last-child")
    assert "online_retail_2010-12" in shown
    assert "42,481 lines" in shown
    assert page.get_attribute("#imports tbody tr:last-child [role=progressbar]", "aria-valuenow") == "100"


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
            quiet = {"day": "2012-03-01", "currency": "GBP", "order_count": 0, "total_revenue": "0"}
            route.fulfill(json={"rows": [quiet], "next": None, "refreshed_at": "2012-03-02T02:00:00Z"})

    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/v1/views/daily_analytics*", answer)
        page.goto(address)
        page.wait_for_selector("#products tbody tr:nth-child(10)")
        page.wait_for_function("document.getElementById('note-days').textContent === '1 Dec – 31 Dec 2010'")


def in_currency(currency: str, orders: int, amount: str) -> dict[str, dict[str, object]]:
    """A row of each view."""
    sums = {"currency": currency, "order_count": orders, "revenue": amount, "net_revenue": amount}
    return {
        "monthly_revenue": {**sums, "month": "2026-03-01", "avg_order_value": amount, "unique_customers": 1},
        "daily_analytics": {**sums, "day": "2026-03-02", "total_revenue": amount},
        "product_performance": {
            **sums, "product_id": currency, "product_name": currency, "category": "Home", "units_sold": 1
        },
    }  # fmt: skip


def test_one_currency_at_a_time_is_shown_the_one_with_most_orders_first(browser: Browser, address: str) -> None:
    shop = [in_currency("GBP", 3, "10.5"), in_currency("JPY", 5, "7000")]

    def answer(route: Route) -> None:
        url = urlsplit(route.request.url)
        (wanted,) = parse_qs(url.query).get("currency", [""])
        rows = [each[url.path.rpartition("/")[2]] for each in shop]
        rows = [row for row in rows if wanted in ("", row["currency"])]
        route.fulfill(json={"rows": rows, "next": None, "refreshed_at": "2026-03-03T02:00:00Z"})

    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/v1/views/*", answer)
        page.goto(address)
        page.wait_for_selector("#currency:visible")
        assert page.eval_on_selector_all("#currency option", "all => all.map((each) => each.value)") == ["JPY", "GBP"]
        for currency, shown in (("JPY", "JP¥7,000"), ("GBP", "£10.50")):
            page.select_option("#currency", currency)
            page.wait_for_function(
                "shown => document.getElementById('figure-revenue').textContent === shown", arg=shown
            )
            assert page.inner_text("#products tbody").startswith(currency)
            assert shown in page.inner_text("#months tbody")
            assert page.input_value("#currency") == currency


def importing(state: str, read: int, pending: int, share: float = 1.0) -> dict[str, object]:
    counts = {
        "read": read,
        "loaded": read - pending - 5,
        "skipped": 0,
        "rejected": 5,
        "held": 0,
        "duplicate": 0,
        "pending": pending,
        "updated": 0,
    }
    size = {"size_bytes": 52_700_000, "bytes_read": int(52_700_000 * share)}
    file = {"import_id": "1", "target": "orders", "source_name": f"<b>{'long-' * 40}.csv", "result": {}, "error": None}
    return {**file, **counts, **size, "state": state, "created_at": "2026-11-21T01:00:00Z"}


@pytest.mark.parametrize("screen", SCREENS)
def test_a_running_import_moves_every_second_and_its_end_brings_new_figures(
    browser: Browser, address: str, screen: str
) -> None:
    states = [
        importing("loading", 100_000, 100_000, share=0.5),
        importing("appending", 200_000, 150_000) | {"storing": {"part": 2, "parts": 3, "events": 10_000}},
        importing("completed", 200_000, 0),
    ]
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(json={"imports": [states[0] if len(states) == 1 else states.pop(0)]})

    width, height = SCREENS[screen]
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        page = context.new_page()
        page.route("**/v1/imports*", answer)
        figures: list[str] = []
        page.on(
            "request", lambda request: figures.append(request.url) if "product_performance" in request.url else None
        )
        page.goto(address)
        page.wait_for_selector("#imports >> text=26.4 of 52.7 MB · 100,000 lines read")
        assert bar_of(page) == (50, 0)
        assert page.locator("#imports b").count() == 0, "a file's name is text"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.wait_for_selector("#imports >> text=storing part 2 of 3 · 10,000 events")
        page.wait_for_selector("#imports >> text=50,000 of 200,000 lines done")
        assert bar_of(page) == (100, 25)
        assert len(figures) == 1
        page.wait_for_selector("#imports >> text=199,995")
        assert bar_of(page) == (100, 100)
        page.wait_for_timeout(3000)
        assert len(figures) == 2, "what was imported is in the figures: they are read again"
        assert len(asked) == 4, "an import that has ended is not asked for every second"


def bar_of(page: Page) -> tuple[int, int]:
    """Percent of the file that is read, and percent that is done."""
    shares = page.evaluate(
        "[...document.querySelectorAll('#imports .progress span')]"
        ".map(s => Math.round(100 * s.getBoundingClientRect().width / s.parentElement.clientWidth))"
    )
    return tuple(shares)


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
