"""`GET /console/state` and `GET /console/panels` of a whole process: who gets them, and what they say of whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import CUT, Answer
from tests.unit.services.gateway.console import prometheus as stand
from tests.unit.services.gateway.console.serving import Served, look, serving, told
from tests.unit.services.gateway.own import looks
from tests.unit.services.gateway.own.books import TOKEN, Books
from tests.unit.services.gateway.process import KEY, run
from tollgate import __version__
from tollgate.render.dashboards import panels
from tollgate.services.gateway.console import inner, prometheus, routes
from tollgate.services.gateway.console.lists import parsed
from tollgate.services.gateway.own import recent
from tollgate.services.requests import guard
from tollgate.services.requests.routes import CONSOLE, CONSOLE_PAGE

START = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":7}}}\n\n'
Test = Callable[[Served], Awaitable[None]]


@pytest.fixture
def served(books: Books, redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    looks.history(books)
    monkeypatch.setattr(routes, "STATE_FRESH_S", 0.0)
    monkeypatch.setattr(routes, "PANELS_FRESH_S", 0.0)
    monkeypatch.setattr(recent, "GATHER_S", 0.01)

    def with_it(test: Test, **more: Any) -> None:
        async def go() -> None:
            async with serving(books, tmp_path, redis, **more) as found:
                await test(found)

        run(go)

    return with_it


def test_only_the_master_key_gets_figures(served: Any) -> None:
    async def test(at: Served) -> None:
        for path in CONSOLE:
            for key, status, code in (
                (KEY, 403, "route_not_allowed"),
                ("sk-nobody", 401, "key_unknown"),
                ("", 401, ""),
            ):
                reply = await look(at.gateway, path, key)
                assert (reply.status, code in reply.text.decode()) == (status, True), reply.text
                assert b"tenants" not in reply.text and b"series" not in reply.text
            assert (await look(at.gateway, path)).status == 200, "the twin: the master key gets them"
        for path in CONSOLE_PAGE:
            assert (await look(at.gateway, path, "")).status == 200, "the files have no figure and no secret"

    served(test)


def test_the_guard_knows_no_route_of_the_console_as_a_tenants() -> None:
    assert not [path for path in CONSOLE for method in ("GET", "HEAD") if guard.routes.for_tenants(method, path)]
    assert guard.routes.for_tenants("GET", guard.routes.USAGE), "the twin"


def test_the_process_refuses_a_tenant_even_if_the_guard_does_not(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard.routes, "for_tenants", lambda method, path: True)

    async def test(at: Served) -> None:
        for path in CONSOLE:
            reply = await look(at.gateway, path, KEY)
            assert (reply.status, b"route_not_allowed" in reply.text) == (403, True)

    served(test)


def test_nothing_but_reading_is_answered(served: Any) -> None:
    async def test(at: Served) -> None:
        for path in sorted(CONSOLE):
            before = len(at.prometheus.asked)
            async with at.gateway.post(path, key=KEY) as answer:
                assert answer.status == 403
            assert len(at.prometheus.asked) == before
        async with at.gateway.session.post(f"{at.gateway.url}/console") as answer:
            assert answer.status == 405

    served(test)


def test_the_state_is_that_of_the_process_and_of_its_stores(served: Any, books: Books) -> None:
    async def test(at: Served) -> None:
        await at.gateway.ask(model="claude-mythos")
        state = await told(at.gateway, "/console/state")
        one = state["process"]
        assert (one["name"], one["version"], one["route"], one["redis"]) == ("gateway-1", __version__, "direct", True)
        now = datetime.now(UTC)
        for part in (one, state["postgres"], state["redis"]):
            assert now - timedelta(hours=2) < datetime.fromisoformat(part["started"]) <= now
        ((version,),) = books.run("SHOW server_version")
        assert state["postgres"]["version"] == version.split()[0] and state["postgres"]["bytes"] > 1_000_000
        assert state["redis"]["version"][0].isdigit() and state["redis"]["problem"] is None
        assert state["litellm"] == {"version": "1.108.10"}
        takes = {server["name"]: server["takes"] for server in state["nginx"]["servers"]}
        replicas = {f"litellm-{number}": True for number in (1, 2, 3)}
        assert takes == {"gateway-1": True, "gateway-2": False, **replicas}

    served(test)


def test_the_money_is_that_of_the_ledger(served: Any, books: Books) -> None:
    day = datetime.now(UTC).date()
    books.team("beta", {"daily_limit": 10})
    books.spend(day, books.key("k", "beta"), "sonnet", 8.5, "beta")
    books.team("calm", {"monthly_limit": 100_000})
    books.spend(day, books.key("k", "calm"), "sonnet", 1.25, "calm")

    async def test(at: Served) -> None:
        money = (await told(at.gateway, "/console/state"))["money"]
        tenants = {one["id"]: one for one in money["tenants"]}
        assert tenants.keys() == {"platform", "beta", "calm"}
        today, _, month = tenants["beta"]["windows"]
        assert (today["spent"], today["limit"], month["limit"]) == ("8.5", "10", None)
        ((spent,),) = books.run(
            """SELECT sum(spend::numeric) FROM "LiteLLM_DailyTeamSpend" WHERE model_group = 'sonnet' AND date >= %s""",
            f"{day.replace(day=1)}",
        )
        (sonnet,) = [one for one in money["models"] if one["model"] == "sonnet"]
        assert float(sonnet["month"]) == pytest.approx(float(spent))
        assert float(money["month"]) == pytest.approx(sum(float(one["month"]) for one in money["models"]))
        ending = {(one["id"], one["window"]) for one in money["ending"]}
        assert ("beta", "today") in ending and "calm" not in {one for one, _ in ending}

    served(test)


def test_refusals_and_broken_answers_of_all_tenants_are_listed(served: Any) -> None:
    async def test(at: Served) -> None:
        await at.gateway.ask(model="claude-mythos", headers={"x-request-id": "one"})
        async with asyncio.timeout(10):
            while not (found := (await told(at.gateway, "/console/state"))["refusals"]):
                await asyncio.sleep(0.02)
        (entry,) = [one for one in found if one["request_id"] == "one"]
        assert (entry["tenant"], entry["code"], entry["key"]) == ("platform", "model_not_allowed", "default")
        assert "claude-mythos" not in str(found), "no word of a client"

    served(test)


def test_an_answer_that_broke_off_is_the_operators_to_see(books: Books, redis: str, tmp_path: Path) -> None:
    looks.history(books)

    async def test() -> None:
        async with serving(books, tmp_path, redis, answer=Answer([START, 0.05, CUT])) as at:
            reply = await at.gateway.ask(stream=True, headers={"x-request-id": "cut-1"})
            assert reply.status == 200
            async with asyncio.timeout(10):
                while not (found := await entries(at, "cut-1")):
                    await asyncio.sleep(0.05)
            assert [(one["code"], one["status"], one["tenant"]) for one in found] == [("broke_off", 200, "platform")]
            usage = await look(at.gateway, "/gateway/usage", KEY)
            assert b"cut-1" not in usage.text, "it is no refusal of the tenant"

    run(test)


async def entries(at: Served, request: str) -> list[Any]:
    state = await told(at.gateway, "/console/state")
    return [one for one in state["refusals"] if one["request_id"] == request]


def test_every_panel_of_grafana_has_figures_from_prometheus(served: Any) -> None:
    async def test(at: Served) -> None:
        found = await told(at.gateway, "/console/panels")
        wanted = [panel for panel in panels() if panel.datasource == "prometheus"]
        assert [panel["title"] for panel in found["panels"]] == [panel.title for panel in wanted]
        for shown, panel in zip(found["panels"], wanted, strict=True):
            assert shown["problem"] is None and shown["series"], panel.title
            assert (shown["description"], shown["unit"], shown["kind"]) == (panel.description, panel.unit, panel.kind)
            assert "queries" not in shown
        assert at.prometheus.mistakes == []
        asked = sum(len(panel.queries) for panel in wanted) + 1
        assert len(at.prometheus.asked) == asked, "each query once, and the alerts"
        (chart,) = [one for one in found["panels"] if one["title"] == "Gateway processes: requests by route"]
        points = (found["until"] - found["since"]) // found["step_s"] + 1
        assert {len(one["values"]) for one in chart["series"]} == {points}
        assert [one["name"] for one in chart["series"]] == ["direct", "litellm"]
        assert chart["series"][1]["values"][20:26] == [None] * 6, "a gap stays one"

    served(test)


def test_twin_the_stand_in_refuses_any_other_question(served: Any) -> None:
    async def test(at: Served) -> None:
        for question in ("query?query=up%7Bx%3D1%7D", "query_range?query=up", "series?match[]=up", "alerts?x=1"):
            async with at.gateway.session.get(f"{at.prometheus.url}/api/v1/{question}") as answer:
                assert answer.status == 400
        assert len(at.prometheus.mistakes) == 4

    served(test)


def test_a_browser_cannot_add_to_a_question(served: Any) -> None:
    async def test(at: Served) -> None:
        await told(at.gateway, "/console/panels?query=up&start=0&team=x")
        assert at.prometheus.mistakes == []
        assert not [asked for asked in at.prometheus.asked if "team=x" in asked or "start=0" in asked]

    served(test)


def test_firing_alerts_have_their_runbook_and_others_are_left_out(served: Any) -> None:
    async def test(at: Served) -> None:
        alerts = (await told(at.gateway, "/console/panels"))["alerts"]
        assert alerts["watchdog"] is True
        (alert,) = alerts["firing"]
        assert (alert["name"], alert["severity"], alert["since"]) == ("ReplicaDown", "ticket", "2026-11-29T09:14:31")
        assert alert["runbook"] == "docs/runbooks/a-replica-is-down.md"
        at.prometheus.alerts = []
        alerts = (await told(at.gateway, "/console/panels"))["alerts"]
        assert alerts == {"firing": [], "watchdog": False, "problem": None}

    served(test)


def test_without_prometheus_and_nginx_the_rest_is_still_told(served: Any) -> None:
    async def test(at: Served) -> None:
        found = await told(at.gateway, "/console/panels")
        assert {panel["problem"] for panel in found["panels"]} == {"Prometheus cannot be reached."}
        assert found["alerts"]["problem"] == "Prometheus cannot be reached."
        state = await told(at.gateway, "/console/state")
        assert state["nginx"] == {"servers": [], "problem": "nginx cannot be reached."}
        assert state["money"]["tenants"] and state["process"]["name"] == "gateway-1"

    served(test, away=True)


def test_without_postgres_and_redis_the_process_still_tells_of_itself(books: Books, tmp_path: Path) -> None:
    async def test() -> None:
        nobody = "host=127.0.0.1 port=9 user=test dbname=test connect_timeout=1"
        async with serving(books, tmp_path, postgres=nobody) as at:
            state = await told(at.gateway, "/console/state")
            assert "did not answer" in state["postgres"]["problem"] and state["money"].keys() == {"problem"}
            assert "did not answer" in state["redis"]["problem"]
            assert state["process"]["route"] == "direct" and state["nginx"]["servers"]

    run(test)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "did not answer with a JSON object"),
        (b"[1]", "did not answer with a JSON object"),
        (b'{"status":"error"}', "refused the question"),
        (
            b'{"status":"success","data":{"resultType":"scalar","result":[]}}',
            "in a form that this release does not know",
        ),
        (b"[" + b" " * (inner.MOST_BYTES + 1), "answered with more than 4 MB"),
    ],
)
def test_what_prometheus_says_is_not_believed(served: Any, body: bytes, words: str) -> None:
    async def test(at: Served) -> None:
        at.prometheus.broken = body
        found = await told(at.gateway, "/console/panels")
        assert all(words in panel["problem"] for panel in found["panels"])

    served(test)


def test_figures_that_are_none_and_names_without_end_do_no_harm(served: Any) -> None:
    async def test(at: Served) -> None:
        at.prometheus.labels["tenant"] = ["x" * 5000, "line\nbreak\x1b[31m", "<script>"]
        text = b'{"status":"success","data":{"resultType":"vector","result":['
        found = await told(at.gateway, "/console/panels")
        (bars,) = [panel for panel in found["panels"] if panel["title"] == "Spend by tenant"]
        names = [one["name"] for one in bars["series"]]
        assert len(names[0]) == 301 and names[1] == "line\ufffdbreak\ufffd[31m" and names[2] == "<script>"
        odd = b'{"value":[0,"NaN"]},{"value":[0,"+Inf"]},{"value":[0]},7,{"metric":[],"value":[0,null]}'
        at.prometheus.broken = text + odd + b"]}}"
        found = await told(at.gateway, "/console/panels")
        (spend,) = [panel for panel in found["panels"] if panel["title"] == "Spend"]
        assert [one["values"] for one in spend["series"]] == [[None], [None], [None]]

    served(test)


def test_a_chart_has_the_largest_lines_and_says_what_is_left_out(served: Any) -> None:
    async def test(at: Served) -> None:
        for label in ("model", "tenant"):
            at.prometheus.labels[label] = [f"{label}-{number}" for number in range(40)]
        found = {panel["title"]: panel for panel in (await told(at.gateway, "/console/panels"))["panels"]}
        chart, bars = found["Direct route: spend an hour by model"], found["Spend by tenant"]
        assert [one["name"] for one in chart["series"]] == [f"model-{number}" for number in range(6)]
        assert (chart["left_out"], len(bars["series"]), bars["left_out"]) == (34, 24, 16)

    served(test)


def test_a_prometheus_that_hangs_does_not_hold_the_page(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "PATIENCE_S", 0.3)
    looks.history(books)

    async def hangs(self: stand.Stand, request: Any) -> Any:
        await asyncio.sleep(30)

    monkeypatch.setattr(stand.Stand, "answer", hangs)

    async def test() -> None:
        async with serving(books, tmp_path) as at, asyncio.timeout(10):
            found = await told(at.gateway, "/console/panels")
            assert {panel["problem"] for panel in found["panels"]} == {prometheus.TOO_SLOW}
            assert (await told(at.gateway, "/console/state"))["process"]["name"] == "gateway-1"

    run(test)


def test_open_pages_share_an_answer(books: Books, tmp_path: Path) -> None:
    looks.history(books)

    async def test() -> None:
        async with serving(books, tmp_path) as at:
            one, other = await asyncio.gather(*(told(at.gateway, "/console/panels") for _ in range(2)))
            asked = len(at.prometheus.asked)
            assert one == other == await told(at.gateway, "/console/panels")
            assert asked == len(at.prometheus.asked) == len(set(at.prometheus.asked))

    run(test)


def test_only_servers_of_ours_are_read_from_the_list_of_nginx() -> None:
    assert parsed("server evil; # <script>\nserver 1.2.3.4:80 x; # other\n") == []
    lines = [f"server 1.2.3.4:4000 max_fails=2; # litellm-{number}\n" for number in (10, 2, 2)]
    assert parsed("".join(lines)) == [{"name": "litellm-2", "takes": True}, {"name": "litellm-10", "takes": True}]


def test_a_key_of_the_tenant_is_never_in_an_answer(served: Any) -> None:
    async def test(at: Served) -> None:
        for path in sorted(CONSOLE):
            text = (await look(at.gateway, path)).text.decode()
            assert KEY not in text and TOKEN not in text and "sk-master" not in text

    served(test)
