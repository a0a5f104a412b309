"""The page, in a real browser: headless Chromium."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests.router.gateway.conftest import RunningGateway, Start
from tests.router.gateway.test_gateway import ANNA, BERT, KEYS, ask

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROMPT = "write a python function that merges two sorted lists"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the Debian package chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The sandbox of Chromium does not work as root in a container, and only our own page is opened.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda message: faults.append(message.text) if message.type == "error" and "of 40" not in message.text else None,
    )
    yield page
    page.close()
    assert faults == []


def test_a_prompt_shows_its_task_and_the_dial_reorders_the_models(page: Page, shared: RunningGateway) -> None:
    page.goto(shared.url)
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    expect(page.locator("#chosen")).to_contain_text("for coding")
    expect(page.locator("#tasks tbody tr").first).to_contain_text("coding")
    dial, first = page.get_by_role("slider", name="Dial"), page.locator("#models tbody tr").first
    costs = []
    for position in ("0", "100"):
        dial.fill(position)
        name, cost = (first.locator("th, td").nth(column).inner_text() for column in (1, 4))
        expect(page.locator("#chosen")).to_contain_text(name)
        assert name in (dial.get_attribute("aria-valuetext") or "")
        costs.append(float(cost))
    assert costs[0] < costs[1]
    # The dial at the position of a preset agrees with the router.
    expect(page.locator("#plot circle.chosen")).to_have_count(1)


def test_the_page_ranks_as_the_router_does(page: Page, shared: RunningGateway) -> None:
    with page.expect_response("**/v1/presets"):
        page.goto(shared.url)
    with page.expect_response("**/v1/route") as answer:
        page.get_by_label("Prompt", exact=True).fill(PROMPT)
    expect(page.locator("#chosen")).to_contain_text("for coding")
    shown = [row.locator("th, td").nth(1).inner_text() for row in page.locator("#models tbody tr").all()]
    assert shown[0] == answer.value.json()["ranking"][0]


def test_earlier_turns_make_a_conversation(page: Page, shared: RunningGateway) -> None:
    page.goto(shared.url)
    page.get_by_role("button", name="Add an earlier turn").click()
    page.get_by_label("Text of earlier turn 1").fill("translate 'good morning' into french")
    page.get_by_label("Prompt", exact=True).fill("and into german?")
    expect(page.locator("#chosen")).to_contain_text("for translation")


def test_the_live_view_shows_what_runs(page: Page, start: Start) -> None:
    gateway = start('[gateway]\nbaseline = "gpt-5.5"\n')
    ask(gateway, "auto", router={"allowed": ["gpt-4.1-mini", "gpt-5.5"], "prefer": "cheap"})
    page.goto(gateway.url)
    # By keyboard: the second tab is one arrow away from the first.
    page.get_by_role("tab", name="Try a prompt").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#latest tbody tr").first).to_contain_text("up/gpt-4.1-mini=down: transient; up/gpt-5.5=ok: ok")
    expect(page.locator("#totals")).to_contain_text("saved against gpt-5.5")
    expect(page.locator("#endpoints")).to_contain_text("up/gpt-5.5=ok")
    ask(gateway, "claude-haiku-4-5")
    expect(page.locator("#latest tbody tr").first).to_contain_text("400")


def give_key(page: Page, key: str) -> None:
    page.get_by_label("Key of a client").fill(key)
    page.get_by_role("button", name="Use it").click()


def test_the_page_asks_for_a_key_if_it_needs_one(page: Page, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANNA", ANNA)
    monkeypatch.setenv("BERT", BERT)
    page.goto(start(KEYS).url)
    give_key(page, ANNA)
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    expect(page.locator("#chosen")).to_contain_text("gpt-5.5 for coding")


def test_only_an_operator_sees_the_requests_of_all(page: Page, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANNA", ANNA)
    monkeypatch.setenv("BERT", BERT)
    page.goto(start(KEYS).url)
    give_key(page, BERT)
    page.get_by_role("tab", name="Live").click()
    expect(page.locator("#status")).to_contain_text("the client 'bert' is no operator")


def test_a_screen_reader_hears_the_choice_and_finds_every_control(page: Page, shared: RunningGateway) -> None:
    page.goto(shared.url)
    page.get_by_role("button", name="Decide").click()
    expect(page.get_by_role("status")).to_have_text("Write a prompt first.")
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    expect(page.get_by_role("status")).to_contain_text("Chosen: ")
    # A named position of the dial moves the slider, which says its name.
    page.get_by_role("button", name="quality").click()
    expect(page.get_by_role("slider", name="Dial")).to_have_attribute("aria-valuetext", re.compile("^quality"))
    expect(page.get_by_role("img")).to_have_accessible_name(re.compile("is chosen: quality 0"))
    expect(page.get_by_role("table", name="Models, best first").get_by_role("rowheader")).to_have_count(6)
    for _ in range(2):
        page.get_by_role("button", name="Add an earlier turn").click()
    page.get_by_role("button", name="Remove earlier turn 1").click()
    expect(page.get_by_label("Text of earlier turn 1")).to_be_visible()
    # End and Home reach the last and the first tab.
    page.get_by_role("tab", name="Try a prompt").focus()
    page.keyboard.press("End")
    expect(page.get_by_role("tab", name="Live")).to_be_focused()


def test_all_models_can_be_shown(page: Page, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_ROUTER_MODEL", str(model_folder))
    gateway = RunningGateway(None)
    try:
        page.goto(gateway.url)
        page.get_by_label("Prompt", exact=True).fill(PROMPT)
        rows = page.get_by_role("table", name="Models, best first").get_by_role("rowheader")
        expect(rows).to_have_count(15)
        page.get_by_role("button", name="Show all 110 models").click()
        expect(rows).to_have_count(110)
    finally:
        gateway.close()


def test_models_without_prices_are_ranked_too(page: Page, shared: RunningGateway) -> None:
    def forget_prices(route: Route) -> None:
        answer = route.fetch()
        decision = answer.json()
        for score in decision["scores"].values():
            score["cost_usd"] = None
        route.fulfill(response=answer, json=decision)

    page.route("**/v1/route", forget_prices)
    page.goto(shared.url)
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    expect(page.locator("#chosen")).to_contain_text("for coding")
    expect(page.get_by_role("img")).to_have_accessible_name("No model has a known price.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_screen_in_light_and_dark(browser: Browser, shared: RunningGateway, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800}, color_scheme="dark" if scheme == "dark" else "light")
    page.goto(shared.url)
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    expect(page.locator("#result")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    back, text = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    brightness = [sum(map(int, colour[4:-1].split(","))) for colour in (back, text)]
    assert (brightness[0] > brightness[1]) == (scheme == "light")
    page.close()
