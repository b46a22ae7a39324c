"""An operator's session, in a real browser, against the real site."""

import re
import shutil
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import pytest
from django.urls import Resolver404, resolve
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, expect, sync_playwright

from app.config.workload import PAGES
from app.topology import TOPOLOGY
from scripts.laptop.demo import Shop
from scripts.laptop.journeys import JOURNEYS
from tests.support.environment import REPOSITORY

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE_WIDTH = 360
#: The page asks again every three seconds.
REFRESHED_MS = 10_000


class Site(Protocol):
    stack: Any
    url: str
    username: str
    password: str


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH: on Debian, apt install chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=site.url)
    yield context
    context.close()


@pytest.fixture
def visitor(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def operator(visitor: Page, site: Site) -> Page:
    visitor.goto("/login/?next=/console/")
    visitor.get_by_label("Username").fill(site.username)
    visitor.get_by_label("Password").fill(site.password)
    visitor.get_by_role("button", name="Log in").click()
    expect(visitor).to_have_url(f"{site.url}/console/")
    return visitor


def complaints_of(page: Page) -> list[str]:
    """What the browser will have to complain about: errors and CSP violations in the console, failed and refused requests."""
    complaints: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(f"console: {message.text}")

    def on_response(response: Response) -> None:
        if response.status >= HTTPStatus.BAD_REQUEST:
            complaints.append(f"{response.status}: {response.url}")

    def on_failure(request: Request) -> None:
        # What was under way when the page before was left is no failure.
        if request.failure != "net::ERR_ABORTED":
            complaints.append(f"failed: {request.url} {request.failure}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
    page.on("response", on_response)
    page.on("requestfailed", on_failure)
    return complaints


def shown_time(page: Page) -> str:
    return page.locator("#updated").inner_text()


def test_anonymous_people_are_sent_to_the_login(visitor: Page) -> None:
    visitor.goto("/")

    expect(visitor).to_have_url(re.compile(r"/login/\?next=/console/$"))
    expect(visitor.get_by_role("heading", name="Log in")).to_be_visible()


def test_the_login_needs_no_mouse(visitor: Page, site: Site) -> None:
    visitor.goto("/console/")
    expect(visitor.get_by_label("Username")).to_be_focused()

    visitor.keyboard.type(site.username)
    visitor.keyboard.press("Tab")
    visitor.keyboard.type(site.password)
    visitor.keyboard.press("Enter")

    expect(visitor).to_have_url(f"{site.url}/console/")
    expect(visitor.get_by_role("heading", name="Overview")).to_be_visible()


def test_a_wrong_password_is_explained(visitor: Page, site: Site) -> None:
    visitor.goto("/login/")
    visitor.get_by_label("Username").fill(site.username)
    visitor.get_by_label("Password").fill("not the password")
    visitor.get_by_label("Password").press("Enter")

    expect(visitor.get_by_role("alert")).to_contain_text("correct username and password")


def test_the_first_tab_stop_skips_the_navigation(operator: Page) -> None:
    operator.keyboard.press("Tab")
    expect(operator.get_by_role("link", name="Skip to the content")).to_be_focused()

    operator.keyboard.press("Enter")
    operator.keyboard.press("Tab")

    expect(operator.get_by_role("button", name="Pause")).to_be_focused()


def test_the_overview_judges_and_shows_every_queue(operator: Page) -> None:
    rows = operator.get_by_role("region", name="Queues").get_by_role("rowheader")

    expect(rows).to_have_text([queue.name for queue in TOPOLOGY.queues])
    expect(operator.get_by_role("region", name="Verdict")).to_have_text(re.compile(r"\w+"))


def test_the_overview_refreshes_by_itself(operator: Page) -> None:
    first = shown_time(operator)

    expect(operator.locator("#updated")).not_to_have_text(first, timeout=REFRESHED_MS)
    expect(operator.get_by_role("alert")).to_be_hidden()
    expect(operator.get_by_role("region", name="Queues")).to_have_count(1)


def test_the_overview_can_be_paused(operator: Page) -> None:
    operator.get_by_role("button", name="Pause").click()
    expect(operator.locator("[data-live-status]")).to_have_attribute("data-held", "paused")
    held = shown_time(operator)
    operator.get_by_role("button", name="Resume").click()

    expect(operator.locator("#updated")).not_to_have_text(held, timeout=REFRESHED_MS)


def test_a_server_that_is_away_is_noticed_and_so_is_its_return(operator: Page, context: BrowserContext) -> None:
    alert = operator.get_by_role("alert")

    context.set_offline(True)
    expect(alert).to_contain_text("Not up to date. The server cannot be reached", timeout=REFRESHED_MS)
    context.set_offline(False)
    expect(alert).to_be_hidden(timeout=REFRESHED_MS)


def test_the_end_of_the_session_is_said(operator: Page, context: BrowserContext) -> None:
    context.clear_cookies()

    alert = operator.get_by_role("alert")
    expect(alert).to_contain_text("Your session has ended", timeout=REFRESHED_MS)
    alert.get_by_role("link", name="Reload the page").click()
    expect(operator).to_have_url(re.compile(r"/login/\?next=/console/$"))


def test_the_log_out_ends_the_session(operator: Page) -> None:
    operator.get_by_role("button", name="Log out").click()
    expect(operator).to_have_url(re.compile(r"/login/$"))

    operator.goto("/console/")
    expect(operator).to_have_url(re.compile(r"/login/"))


@pytest.mark.parametrize("path", ["/console/", "/payments/", "/login/", "/nowhere"])
def test_nothing_overflows_on_a_phone(operator: Page, path: str) -> None:
    operator.set_viewport_size({"width": PHONE_WIDTH, "height": 740})
    operator.goto(path)

    assert operator.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH


@pytest.mark.parametrize(("scheme", "is_dark"), [("dark", True), ("light", False)])
def test_the_background_follows_the_system(operator: Page, scheme: str, is_dark: bool) -> None:
    operator.emulate_media(color_scheme="dark" if scheme == "dark" else "light")

    red, green, blue = re.findall(r"\d+", operator.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]

    assert (int(red) + int(green) + int(blue) < 3 * 64) is is_dark


def test_an_unknown_page_has_a_way_out(operator: Page) -> None:
    answer = operator.goto("/nowhere")
    assert answer is not None
    assert answer.status == HTTPStatus.NOT_FOUND

    operator.get_by_role("link", name="Go to the start page").click()

    expect(operator).to_have_url(re.compile(r"/console/$"))


@pytest.mark.parametrize("path", ["/console/", "/api/docs", "/payments/", "/admin/"])
def test_the_browser_has_nothing_to_complain_about(operator: Page, path: str) -> None:
    complaints = complaints_of(operator)

    operator.goto(path, wait_until="networkidle")

    assert complaints == []


def test_the_browser_has_nothing_to_complain_about_before_the_login(visitor: Page) -> None:
    complaints = complaints_of(visitor)

    visitor.goto("/login/", wait_until="networkidle")

    assert complaints == []


# -- the pages of the workload -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _morning(site: Site) -> None:
    """The demo has been here: the pages are full."""
    deployment = site.stack
    deployment.network.habits(duplicates=0, lost_receives=0)
    shop = Shop(
        web=site.url,
        gateway=deployment.environment["STRIPE_API_BASE"],
        partner=deployment.environment["PARTNER_API_BASE"],
        token=deployment.token,
        mail_directory=Path(deployment.directory) / "mail",
        environment=deployment.environment | {"SERVICE": "shell"},
        repository=REPOSITORY,
    )
    stories = [journey(shop) for journey in JOURNEYS]
    assert [problem for story in stories for problem in story.problems] == []


def _has_things(mount: str) -> bool:
    """Whether its list leads to a page for each thing."""
    try:
        resolve(f"/{mount}{uuid.uuid4()}/")
    except Resolver404:
        return False
    return True


def _check(page: Page, path: str) -> None:
    """Nothing to complain about, nothing beyond the edge of a phone, dark where the system is."""
    complaints = complaints_of(page)
    page.goto(path, wait_until="networkidle")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    red, green, blue = re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]
    assert int(red) + int(green) + int(blue) < 3 * 64, path
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH, path
    assert complaints == [], path


@pytest.mark.usefixtures("_morning")
@pytest.mark.parametrize("mount", PAGES)
def test_the_pages_of_the_workload_and_the_first_thing_on_each_are_well(operator: Page, mount: str) -> None:
    operator.set_viewport_size({"width": PHONE_WIDTH, "height": 740})
    operator.emulate_media(color_scheme="dark")

    _check(operator, f"/{mount}")

    if _has_things(mount):
        links = [link.get_attribute("href") or "" for link in operator.locator("main a").all()]
        things = [link for link in links if re.fullmatch(rf"/{mount}[0-9a-f-]{{36}}/", link)]
        assert things, f"the list /{mount} leads nowhere: {links}"
        _check(operator, things[0])
