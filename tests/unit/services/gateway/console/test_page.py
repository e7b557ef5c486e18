"""The page /console in a real browser, over a whole process.

`UPDATE_SCREENSHOTS=1` writes the pictures of docs/guides/console.md.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser, a_window
from tests.unit.services.gateway.console.serving import Served, serving
from tests.unit.services.gateway.own import looks
from tests.unit.services.gateway.own.books import TOKEN, Books
from tests.unit.services.gateway.own.test_page import AXE, ENTER, HOSTILE, KEPT, PICTURES, SERIOUS, TAB, UNTIL
from tests.unit.services.gateway.process import KEY, MASTER, run
from tollgate.render.dashboards import panels
from tollgate.services.gateway.console.routes import Console
from tollgate.services.gateway.keys import Keys
from tollgate.services.gateway.own import recent
from tollgate.services.requests.routes import CONSOLE_PANELS

PANELS = [panel for panel in panels() if panel.datasource == "prometheus"]
DRAWN = "document.querySelectorAll('#now article, #charts article').length"


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    yield from a_window()


@pytest.fixture
def visit(
    window: Browser, books: Books, redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Runs a test of the page in a thread, beside the process that serves it. `prepare` is for the stand-in."""
    monkeypatch.setattr(recent, "GATHER_S", 0.01)

    def at_the_page(served: Served, test: Callable[[Browser, Served], None]) -> None:
        window.dark(False)
        window.size(1180, 900)
        window.open(f"{served.gateway.url}/console")
        test(window, served)
        window.open("about:blank")

    def during(
        test: Callable[[Browser, Served], None], prepare: Callable[[Served], None] | None = None, **more: Any
    ) -> None:
        async def go() -> None:
            async with serving(books, tmp_path, redis, **more) as served:
                if prepare is not None:
                    prepare(served)
                for asked in looks.REFUSED:
                    await served.gateway.ask(**asked)
                await asyncio.to_thread(at_the_page, served, test)

        run(go)

    looks.history(books)
    return during


def show(page: Browser, key: str = MASTER) -> None:
    page.type("#key", key + ENTER)
    page.wait_for(UNTIL.format("!document.querySelector('#show').disabled"))


def test_the_page_shows_what_runs_what_it_costs_and_every_panel(visit: Any, books: Books) -> None:
    books.team("beta", {"daily_limit": 10})
    books.spend(datetime.now(UTC).date(), books.key("k", "beta"), "sonnet", 8.5, "beta")

    def test(page: Browser, served: Served) -> None:
        assert not page.sees("#figures")
        show(page)
        assert page.sees("#figures") and not page.sees("#ask") and not page.sees("#problem")
        titles = page.run("return [...document.querySelectorAll('#now h3, #charts h3')].map((one) => one.textContent)")
        assert sorted(titles) == sorted(panel.title for panel in PANELS)
        assert page.run("return document.querySelectorAll('#charts svg').length") == sum(
            panel.kind == "timeseries" for panel in PANELS
        )
        assert page.run("return document.querySelectorAll('.empty').length") == 0 and "Not known" not in page.text(
            "main"
        )
        assert "p99" in page.text("#charts") and "Age of the last backup" in page.text("#now")
        parts = page.text("#parts")
        assert "Tollgate, gateway-1" in parts and "1.108.10" in parts and "Route: direct" in parts
        assert "gateway-2: drained or silent" in page.text("#servers")
        alerts = page.text("#alerts")
        assert "ReplicaDown" in alerts and "docs/runbooks/a-replica-is-down.md" in alerts and "Watchdog" not in alerts
        assert "$8.50 of $10" in page.text("#ending") and "tollgate tenant usage beta" in page.text("#ending")
        assert "Platform engineering" in page.text("#tenants") and "claude-opus-5-5" in page.text("#models")
        assert "model_not_allowed" in page.text("#refusals") and "make rollout" in page.text("#commands")
        assert served.prometheus.mistakes == []

    visit(test)


def test_the_key_is_nowhere_but_in_memory(visit: Any) -> None:
    def test(page: Browser, served: Served) -> None:
        show(page)
        kept = page.run(KEPT)
        assert MASTER not in kept and "sk-" not in kept
        page.run("document.querySelector('#forget').click()")
        assert page.sees("#ask") and not page.sees("#figures")
        ids = ["alerts", "now", "charts", "tenants", "refusals"]
        emptied = "return arguments[0].map((id) => document.getElementById(id).childNodes.length)"
        assert page.run(emptied, ids) == [0] * 5
        show(page)
        page.open(f"{served.gateway.url}/console")
        assert page.sees("#ask") and not page.sees("#figures"), "a reload has forgotten the key"

    visit(test)


def test_a_tenants_key_is_refused_in_the_gateways_words(visit: Any) -> None:
    def test(page: Browser, served: Served) -> None:
        show(page, KEY)
        assert "This key" in page.text("#problem") and page.sees("#ask") and not page.sees("#figures")
        show(page)
        assert page.sees("#figures") and not page.sees("#problem")

    visit(test)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1180, 360])
def test_axe_finds_nothing(visit: Any, dark: bool, width: int) -> None:
    def test(page: Browser, served: Served) -> None:
        page.dark(dark)
        page.size(width, 900)
        page.run((AXE / "axe.min.js").read_text())
        assert page.wait_for(SERIOUS) == []
        show(page)
        assert page.run(f"return {DRAWN}") == len(PANELS)
        assert page.wait_for(SERIOUS) == []
        wide = page.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], "nothing sticks out at the side"

    visit(test)


def test_twin_axe_notices_a_fault(visit: Any) -> None:
    def test(page: Browser, served: Served) -> None:
        page.run((AXE / "axe.min.js").read_text())
        show(page)
        nameless = "svg.removeAttribute('aria-label'); svg.firstChild.remove()"
        page.run(f"for (const svg of document.querySelectorAll('svg')) {{ {nameless} }}")
        page.run("document.querySelector('.quiet').style.color = '#ddd'")
        found = " ".join(page.wait_for(SERIOUS))
        assert "svg-img-alt" in found and "color-contrast" in found

    visit(test)


def test_names_that_mean_harm_are_text(visit: Any, books: Books) -> None:
    books.run('UPDATE "LiteLLM_TeamTable" SET team_alias = %s', HOSTILE)
    named = """UPDATE "LiteLLM_VerificationToken" SET metadata = metadata || jsonb_build_object('name', %s::text)"""
    books.run(named, HOSTILE)
    books.spend(datetime.now(UTC).date(), TOKEN, HOSTILE + "x" * 60, 0.25, "platform")

    def prepare(served: Served) -> None:
        for label in ("tenant", "model", "gateway"):
            served.prometheus.labels[label] = [HOSTILE, "x" * 60]
        alert = served.prometheus.alerts[0]
        harm = {"summary": HOSTILE, "description": HOSTILE, "runbook": HOSTILE + "y" * 60}
        served.prometheus.alerts = [{**alert, "annotations": harm}]

    def test(page: Browser, served: Served) -> None:
        page.size(360, 800)
        show(page)
        for part in ("#tenants", "#models", "#charts", "#now", "#alerts", "#refusals"):
            assert HOSTILE in page.text(part), part
        assert "no alert can fire" in page.text("#alerts"), "the Watchdog is missing"
        assert page.run("return window.hurt") is None
        wide = page.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1]

    visit(test, prepare)


def test_the_policy_lets_nothing_else_in(visit: Any) -> None:
    def test(page: Browser, served: Served) -> None:
        page.complaints()
        show(page)
        assert page.complaints() == [], "the page itself keeps its policy"
        asked = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert {url.removeprefix(served.gateway.url).split("/")[1] for url in asked} == {"console"}
        page.run("document.body.append(Object.assign(new Image(), {src: 'https://example.org/'}))")
        assert page.complaints()

    visit(test)


def test_without_prometheus_each_panel_says_so_and_the_rest_is_shown(visit: Any) -> None:
    def test(page: Browser, served: Served) -> None:
        show(page)
        said = page.run(
            "return [...document.querySelectorAll('#now article, #charts article')].map((one) => one.innerText)"
        )
        assert len(said) == len(PANELS) and all("Prometheus cannot be reached" in text for text in said)
        assert "Alerts are not known" in page.text("#alerts") and "No alert fires" not in page.text("#alerts")
        assert "nginx cannot be reached" in page.text("#servers-problem")
        assert "Platform engineering" in page.text("#tenants") and "Tollgate, gateway-1" in page.text("#parts")
        assert not page.sees("#problem")

    visit(test, away=True)


def test_panels_that_cannot_be_read_again_say_how_old_they_are(visit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, broken = Console.answer, list[str]()

    async def answer(self: Console, path: str) -> Any:
        if path in broken:
            raise RuntimeError
        return await answers(self, path)

    monkeypatch.setattr(Console, "answer", answer)

    def test(page: Browser, served: Served) -> None:
        show(page)
        drawn = page.run(f"return {DRAWN}")
        assert not page.sees("#panels-problem")
        broken.append(CONSOLE_PANELS)
        page.run("document.querySelector('#refresh').click()")
        page.wait_for(UNTIL.format("!document.querySelector('#panels-problem').hidden"))
        assert "are of" in page.text("#panels-problem") and page.run(f"return {DRAWN}") == drawn

    visit(test)


def test_the_keyboard_alone_reaches_every_table(visit: Any) -> None:
    def test(page: Browser, served: Served) -> None:
        page.press(TAB, TAB)
        assert page.run("return document.activeElement.id") == "key"
        page.press(*MASTER, ENTER)
        page.wait_for(UNTIL.format(f"{DRAWN} === {len(PANELS)}"))
        assert page.run("return document.activeElement.id") == "title"
        seen = set()
        for _ in range(10):
            page.press(TAB)
            seen.add(page.run("return document.activeElement.id"))
        assert {"refresh", "forget", "ending", "tenants", "models", "refusals", "commands"} <= seen

    visit(test)


@pytest.mark.skipif(not os.environ.get("UPDATE_SCREENSHOTS"), reason="UPDATE_SCREENSHOTS=1 takes new pictures")
def test_take_the_pictures(visit: Any, books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Keys, "listening", True)
    books.team("research", {"daily_limit": 10, "monthly_limit": 400})
    books.spend(datetime.now(UTC).date(), books.key("k", "research"), "sonnet", 8.5, "research")

    def test(page: Browser, served: Served) -> None:
        show(page)
        page.run("document.activeElement.blur()")
        for name, dark in (("light", False), ("dark", True)):
            page.dark(dark)
            page.size(1280, 2300)
            page.wait_for("await new Promise((go) => setTimeout(go, 300))")
            page.picture(PICTURES / f"console-{name}.png")

    visit(test)
