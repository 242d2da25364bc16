"""`/docs` in a real browser: it shows every operation, asks no other host, and its own content policy lets it."""

from playwright.sync_api import sync_playwright

from app.main import app
from penstock.http.app import create_app
from penstock.settings import Settings
from shop import DOMAIN
from tests.integration.http.conftest import serving
from tests.real.test_dashboard_browser import CHROMIUM, QUIET


def test_the_page_shows_every_operation_and_asks_nobody_else() -> None:
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:1/none", environment="local")
    complaints: list[str] = []
    with serving(create_app(DOMAIN, settings=settings)) as http, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda failed: complaints.append(failed.url))
        page.on(
            "request", lambda asked: None if is_own(asked.url, str(http.base_url)) else complaints.append(asked.url)
        )
        page.goto(f"{http.base_url}/docs")
        page.wait_for_selector(".opblock")
        operations = sum(len(path) for path in app.openapi()["paths"].values())
        assert page.locator(".opblock").count() == operations
        page.click("#operations-Orders-place_order .opblock-summary-control")
        page.wait_for_selector("#operations-Orders-place_order .highlight-code")
        assert "unit_price" in page.inner_text("#operations-Orders-place_order")
        browser.close()
    assert complaints == []


def is_own(url: str, own: str) -> bool:
    return url.startswith((own, "data:"))
