"""The page /usage in a real browser, over a whole process and a real ledger.

`UPDATE_SCREENSHOTS=1` writes the pictures of docs/guides/usage-page.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser, a_window
from tests.unit.services.gateway.own import looks
from tests.unit.services.gateway.own.books import TOKEN, Books
from tests.unit.services.gateway.own.serving import serving
from tests.unit.services.gateway.process import KEY, Process, catalogue, process, run
from tollgate.services.gateway.own import files, polls

ROOT = Path(__file__).parents[5]
AXE = ROOT / "tests" / "fixtures" / "axe-core"
PICTURES = ROOT / "docs" / "images"
ENTER, TAB = "\ue007", "\ue004"
HOSTILE = "<script>window.hurt = 1</script><img src=x onerror=window.hurt=1>"
UNTIL = "while (!({})) await new Promise((go) => setTimeout(go, 20));"
SERIOUS = """
    const found = await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]});
    const places = (one) => one.nodes.map((node) => node.html).join(" ");
    return found.violations.map((one) => one.impact + " " + one.id + ": " + places(one));
"""
KEPT = """
    const typed = [...document.querySelectorAll("input")].map((input) => input.value);
    const page = document.documentElement.outerHTML;
    return JSON.stringify([localStorage, sessionStorage, document.cookie, location.href, page, typed, history.state]);
"""


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    yield from a_window()


@pytest.fixture
def visit(window: Browser, books: Books, tmp_path: Path) -> Callable[..., None]:
    """Runs a test of the page in a thread, beside the process that serves it."""

    def at_the_page(gateway: Process, test: Callable[[Browser, Process], None]) -> None:
        window.dark(False)
        window.size(1180, 900)
        window.open(f"{gateway.url}/usage")
        test(window, gateway)
        window.open("about:blank")

    def during(test: Callable[[Browser, Process], None], **key: Any) -> None:
        async def go() -> None:
            async with serving(books, tmp_path, listed=looks.LISTED, **key) as gateway:
                for asked in looks.REFUSED:
                    await gateway.ask(**asked)
                await asyncio.to_thread(at_the_page, gateway, test)

        run(go)

    return during


def show(page: Browser, key: str = KEY) -> None:
    page.type("#key", key + ENTER)
    page.wait_for(UNTIL.format("!document.querySelector('#show').disabled"))


def test_the_page_shows_every_figure_of_the_answer(visit: Any, books: Books) -> None:
    looks.history(books)

    def test(page: Browser, gateway: Process) -> None:
        assert not page.sees("#figures")
        show(page)
        assert page.sees("#figures") and not page.sees("#ask") and not page.sees("#problem")
        told = page.wait_for(
            "return (await fetch('/gateway/usage', {headers: {'x-api-key': arguments[0]}})).json()", KEY
        )
        assert page.text("h1") == told["tenant_name"] == "Platform engineering"
        money = page.text("#money")
        for entry in told["money"]:
            assert looks.usd(entry["spent"]) in money
            assert entry["limit"] is None or f"of ${entry['limit']}" in money
        assert f"{len(told['money'])}" == page.run("return '' + document.querySelectorAll('#money article').length")
        rates = page.text("#rates")
        assert "Requests this minute" in rates and "of 60" in rates and "Running at once" in rates
        assert page.run("return document.querySelectorAll('#chart g').length") == 31
        drawn = page.run("return [...document.querySelectorAll('#chart g title')].map((title) => title.textContent)")
        assert all(looks.usd(day["spent"]) in title for day, title in zip(told["days"], drawn, strict=True))
        shown = page.run("return document.querySelector('#days-table').textContent")
        assert all(looks.usd(day["spent"]) in shown for day in told["days"])
        refusals = page.text("#refusals")
        for entry in told["refusals"]:
            assert entry["sentence"] in refusals and entry["request_id"] in refusals
        assert len(told["refusals"]) == len(looks.REFUSED)
        models = page.text("#models")
        assert all(model["display_name"] in models for model in told["models"]) and "$2" in models and "1M" in models
        lines = page.text("#connect").splitlines()
        assert lines[0] == f"export ANTHROPIC_BASE_URL={gateway.url}"
        assert lines[1:] == told["connect"][1:] and KEY not in page.text("#connect")
        assert "31 Jan" in page.text("#subtitle") and "lead@example.org" in page.text("#subtitle")

    visit(test, expires=datetime(2027, 1, 31, 12))


def test_the_key_is_nowhere_but_in_memory(visit: Any, books: Books) -> None:
    looks.history(books)

    def test(page: Browser, gateway: Process) -> None:
        show(page)
        assert page.sees("#figures")
        kept = page.run(KEPT)
        assert KEY not in kept and "sk-" not in kept.replace("<code>sk-</code>", "")
        page.run("document.querySelector('#forget').click()")
        assert page.sees("#ask") and not page.sees("#figures")
        assert page.run("return document.querySelector('#money').childNodes.length") == 0
        show(page)
        page.open(f"{gateway.url}/usage")
        assert page.sees("#ask") and not page.sees("#figures"), "a reload has forgotten the key"

    visit(test)


def test_twin_a_key_in_the_page_would_be_found(visit: Any, books: Books) -> None:
    looks.history(books)

    def test(page: Browser, gateway: Process) -> None:
        for leak in ("localStorage.setItem('k', arguments[0])", "document.querySelector('#key').value = arguments[0]"):
            page.run(leak, KEY)
            assert KEY in page.run(KEPT)
            page.run("localStorage.clear(); document.querySelector('#key').value = ''")
        assert KEY not in page.run(KEPT)

    visit(test)


def test_a_wrong_key_is_told_in_the_gateways_words(visit: Any, books: Books) -> None:
    looks.history(books)

    def test(page: Browser, gateway: Process) -> None:
        for key, words in (
            ("sk-nobody-0123456789", "This gateway does not know this key"),
            ("not a key", "This is not a key"),
        ):
            show(page, key)
            assert words in page.text("#problem") and page.sees("#ask") and not page.sees("#figures")
            assert page.run("return document.activeElement.id") == "key"
        show(page)
        assert page.sees("#figures") and not page.sees("#problem")

    visit(test)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1180, 360])
def test_axe_finds_nothing(visit: Any, books: Books, dark: bool, width: int) -> None:
    looks.history(books)

    def test(page: Browser, gateway: Process) -> None:
        page.dark(dark)
        page.size(width, 900)
        page.run((AXE / "axe.min.js").read_text())
        assert page.wait_for(SERIOUS) == []
        show(page)
        page.run("document.querySelector('details').open = true")
        assert page.wait_for(SERIOUS) == []
        wide = page.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], "nothing sticks out at the side"
        show_problem = "document.querySelector('#forget').click()"
        page.run(show_problem)
        show(page, "sk-nobody-0123456789")
        assert page.wait_for(SERIOUS) == []

    visit(test)


def test_twin_axe_notices_a_fault(visit: Any, books: Books) -> None:
    looks.history(books)

    def test(page: Browser, gateway: Process) -> None:
        page.run((AXE / "axe.min.js").read_text())
        page.run("document.querySelector('label').remove(); document.querySelector('.quiet').style.color = '#ddd'")
        found = " ".join(page.wait_for(SERIOUS))
        assert "label" in found and "color-contrast" in found

    visit(test)


def test_the_keyboard_alone_reaches_everything(visit: Any, books: Books) -> None:
    looks.history(books)

    def test(page: Browser, gateway: Process) -> None:
        seen = []
        page.press(TAB)
        assert page.run("return document.activeElement.className") == "skip"
        page.press(TAB)
        assert page.run("return document.activeElement.id") == "key"
        page.press(*KEY, ENTER)
        page.wait_for(UNTIL.format("!document.querySelector('#figures').hidden"))
        assert page.run("return document.activeElement.id") == "title", "a screen reader begins at the new heading"
        for _ in range(12):
            page.press(TAB)
            seen.append(page.run("return document.activeElement.id || document.activeElement.tagName"))
        assert {"refresh", "forget", "SUMMARY", "models", "connect", "copy"} <= set(seen)

    visit(test)


def test_names_that_mean_harm_are_text(visit: Any, books: Books) -> None:
    looks.history(books)
    books.run('UPDATE "LiteLLM_TeamTable" SET team_alias = %s', HOSTILE)
    named = """UPDATE "LiteLLM_VerificationToken" SET metadata = metadata || jsonb_build_object('name', %s::text)"""
    books.run(named, HOSTILE)
    books.spend(datetime.now(UTC).date(), TOKEN, HOSTILE + "x" * 60, 0.25, "platform")

    def test(page: Browser, gateway: Process) -> None:
        page.size(360, 800)
        show(page)
        assert page.text("h1") == HOSTILE
        assert HOSTILE in page.text("#keys") and HOSTILE in page.text("#legend")
        assert page.run("return window.hurt") is None
        wide = page.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1]

    visit(test)


def test_the_policy_lets_nothing_else_in(visit: Any, books: Books) -> None:
    looks.history(books)

    def test(page: Browser, gateway: Process) -> None:
        page.complaints()
        show(page)
        assert page.complaints() == [], "the page itself keeps its policy"
        asked = page.run("return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin)")
        assert set(asked) == {gateway.url}
        script = "const s = document.createElement('script'); s.src = 'data:,window.hurt=1'; document.body.append(s)"
        assert page.run(f"try {{ {script} }} catch (error) {{ return error.name }}") == "TypeError"
        page.run("document.body.append(Object.assign(new Image(), {src: 'https://example.org/'}))")
        assert page.run("return window.hurt") is None
        assert page.complaints()

    visit(test)


def test_a_gateway_that_goes_away_leaves_the_figures(visit: Any, books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    looks.history(books)

    def test(page: Browser, gateway: Process) -> None:
        show(page)
        monkeypatch.setattr(polls, "MOST", 0)
        page.run("document.querySelector('#refresh').click()")
        page.wait_for(UNTIL.format("!document.querySelector('#problem').hidden"))
        assert "too often" in page.text("#problem") and "are of" in page.text("#problem")
        assert page.sees("#figures")

    visit(test)


def test_a_thousand_keys_are_shown_on_demand(visit: Any, books: Books) -> None:
    looks.history(books)
    books.run('UPDATE "LiteLLM_TeamTable" SET metadata = metadata || \'{"show_keys": true}\'')
    books.run(
        'INSERT INTO "LiteLLM_VerificationToken" (token, team_id, metadata)'
        " SELECT 'hash-' || n, 'platform', jsonb_build_object('name', 'key-' || n) FROM generate_series(1, 1000) n"
    )

    def test(page: Browser, gateway: Process) -> None:
        show(page)
        rows = "return document.querySelectorAll('#keys tbody tr').length"
        assert page.run(rows) < 50
        page.run("document.querySelector('#keys button').click()")
        assert page.run(rows) == 1000 + len(looks.KEYS)

    visit(test)


def test_files_have_their_headers_and_are_small(tmp_path: Path) -> None:
    async def test() -> None:
        async with process(tmp_path, catalogue()) as gateway:
            size = 0
            for path in files.read():
                async with gateway.session.get(gateway.url + path) as answer:
                    assert answer.status == 200
                    for name, value in files.HEADERS:
                        assert answer.headers[name.decode()] == value.decode()
                    assert "unsafe" not in answer.headers["content-security-policy"]
                    size += len(await answer.read())
            assert size < 100_000
            async with gateway.session.post(f"{gateway.url}/usage") as answer:
                assert answer.status == 405
            async with gateway.session.get(f"{gateway.url}/api/hello") as answer:
                assert (answer.status, await answer.json()) == (200, {"message": "hello"})

    run(test)


def test_axe_is_the_file_that_its_page_names() -> None:
    digest = hashlib.sha256((AXE / "axe.min.js").read_bytes()).hexdigest()
    assert digest in (AXE / "README.md").read_text()


@pytest.mark.skipif(not os.environ.get("UPDATE_SCREENSHOTS"), reason="UPDATE_SCREENSHOTS=1 takes new pictures")
def test_take_the_pictures(visit: Any, books: Books) -> None:
    looks.history(books)
    books.run('UPDATE "LiteLLM_TeamTable" SET metadata = metadata || \'{"show_keys": true}\'')

    def test(page: Browser, gateway: Process) -> None:
        PICTURES.mkdir(exist_ok=True)
        show(page)
        page.run("document.activeElement.blur()")
        for name, dark, width, height in (
            ("light", False, 900, 1420),
            ("dark", True, 900, 1420),
            ("phone", False, 390, 1130),
        ):
            page.dark(dark)
            page.size(width, height)
            page.wait_for("await new Promise((go) => setTimeout(go, 300))")
            page.picture(PICTURES / f"usage-{name}.png")

    visit(test, expires=datetime.now() + timedelta(days=64))
