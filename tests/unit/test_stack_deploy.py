"""A deploy's order, what it says it changed, and what a failure names. Fakes stand where Docker and LiteLLM would."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.images import stand_ins
from tests.support.site import new_home
from tollgate.errors import InputError, StepError, TollgateError
from tollgate.site import Site
from tollgate.stack import bring_up, deploy
from tollgate.stack.compose import Compose
from tollgate.stack.deploy import STEPS, Deploy
from tollgate.stack.engine import Engine
from tollgate.stack.progress import PlainProgress
from tollgate.stack.tenants import Applied

RELOAD = "services: kill --signal SIGHUP nginx"
UP = "up --detach --no-deps --quiet-pull"
SERVICES = ["litellm-1", "litellm-2", "migrate", "nginx", "postgres", "redis"]
QUIET = "migrate: done: 0 applied, 220 already there, 0 indexes built, 0.1 s"


@dataclass
class Shown(PlainProgress):
    """A Display that keeps what it showed."""

    titles: list[str] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.titles.append(title)
        yield

    def done(self, title: str, seconds: float, result: str) -> None:
        assert seconds >= 0
        self.results[title] = result


@dataclass
class Host:
    """What the engine and LiteLLM would do: calls in order, containers that run, and how each part answers."""

    calls: list[str] = field(default_factory=list)
    containers: dict[str, tuple[str, str]] = field(default_factory=dict)
    migrated: str = QUIET
    half_recreated: list[str] = field(default_factory=list)
    applied: Applied = field(default_factory=lambda: Applied([], []))
    fail: dict[str, TollgateError] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fail:
            raise self.fail[name]

    def compose_run(self, _: Compose, step: str, __: object, *arguments: str, hint: str = "") -> str:
        self.call(f"{step}: {' '.join(arguments)}")
        if arguments[0] == "up":
            for name in arguments[4:]:
                if not name.startswith("--"):
                    self.containers.setdefault(name, (f"id of {name}", "now"))
        return self.migrated if step == "schema" else ""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()

    class Rolls:
        """How replicas are replaced is test_stack_bring_up.py's."""

        def __init__(self, *_: object, everyone: bool) -> None:
            self.everyone = everyone

        def roll(self, replicas: Collection[str], up: object) -> None:
            made.call(f"roll {'all of' if self.everyone else 'what changed of'} {' '.join(replicas)}")

        def remove(self, replicas: Collection[str]) -> None:
            assert not replicas

    def named(name: str, answer: object) -> Callable[..., object]:
        def does(*_: object, **__: object) -> object:
            made.call(name)
            return answer() if callable(answer) else answer

        return does

    monkeypatch.setattr(deploy, "ensure_engine", named("engine", Engine("27.1", "2.29", "0.16")))
    monkeypatch.setattr(deploy.preflight, "check_secrets", named("secrets", None))
    monkeypatch.setattr(deploy.preflight, "check_owner", named("owner", None))
    monkeypatch.setattr(deploy.preflight, "check_host", named("preflight", lambda: made.warnings))
    monkeypatch.setattr(deploy, "present", lambda: set(stand_ins().images.values()))
    monkeypatch.setattr(deploy, "resolve", named("images", stand_ins))
    monkeypatch.setattr(deploy.rendering.publish, "write", lambda *_: [])
    monkeypatch.setattr(Compose, "run", lambda *a, **k: made.compose_run(*a, **k))
    monkeypatch.setattr(Compose, "running", lambda _: dict(made.containers))
    monkeypatch.setattr(Compose, "services", lambda _: SERVICES)
    monkeypatch.setattr(Compose, "remove_half_recreated", lambda _: made.half_recreated)
    monkeypatch.setattr(bring_up, "Rollout", Rolls)
    monkeypatch.setattr(bring_up, "wait_ready", lambda step, _, services, __: made.call(f"wait: {sorted(services)}"))
    monkeypatch.setattr(deploy.tenants, "apply", named("tenants", lambda: made.applied))
    monkeypatch.setattr(deploy.first_request, "send", named("request", "200"))
    return made


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_home(tmp_path / "home")


def run(site: Site, until: str = "") -> Deploy:
    made = Deploy(site, Shown())
    made.run(until)
    return made


def shown(run: Deploy) -> Shown:
    assert isinstance(run.display, Shown)
    return run.display


def test_the_steps_are_those_of_the_docstring_in_that_order() -> None:
    documented = re.findall(r"(?:→|:) +(\w+)(?= →|\n|$)|→ (\w+)", deploy.__doc__ or "")
    assert [first or second for first, second in documented] == list(STEPS)


def test_everything_happens_once_and_in_order(host: Host, site: Site) -> None:
    made = run(site)
    assert host.calls == [
        "secrets",
        "engine",
        "owner",
        "preflight",
        "images",
        f"databases: {UP} postgres redis",
        "wait: ['postgres', 'redis']",
        "schema: run --rm -T --no-deps migrate",
        f"services: {UP} --remove-orphans nginx postgres redis",
        f"services: {UP} litellm-1 litellm-2",
        "wait: ['litellm-1', 'litellm-2', 'nginx', 'postgres', 'redis']",
        "tenants",
        "request",
    ]
    assert shown(made).titles == list(STEPS)
    assert list(shown(made).results) == list(STEPS)


def test_a_second_run_changes_nothing(host: Host, site: Site) -> None:
    first = run(site).changes
    assert "generated secrets/redis_password" in first
    assert "rendered compose.env" in first
    assert "started nginx" in first
    second = run(site)
    assert second.changes == []
    assert "unchanged" in shown(second).results["services"]


def test_replicas_that_serve_are_rolled(host: Host, site: Site) -> None:
    run(site)
    host.calls.clear()
    run(site)
    assert [call for call in host.calls if call.startswith("roll")] == ["roll what changed of litellm-1 litellm-2"]


def test_twin_a_rollout_rolls_all_of_them(host: Host, site: Site) -> None:
    run(site)
    host.calls.clear()
    Deploy(site, Shown(), replace_replicas=True).run()
    assert [call for call in host.calls if call.startswith("roll")] == ["roll all of litellm-1 litellm-2"]


def test_a_changed_limit_reloads_nginx_and_recreates_nothing(host: Host, site: Site) -> None:
    run(site)
    host.calls.clear()
    file = site.gateway_file
    file.write_text(file.read_text().replace("requests_per_second: 50", "requests_per_second: 51"))
    changes = run(site).changes
    assert host.calls.count(RELOAD) == 1
    assert "reloaded nginx" in changes
    assert not [change for change in changes if change.startswith("started ")]
    host.calls.clear()
    assert run(site).changes == []
    assert RELOAD not in host.calls, "it has read them"


def test_nginx_that_was_started_has_read_its_files(host: Host, site: Site) -> None:
    assert "started nginx" in run(site).changes
    assert RELOAD not in host.calls
    run(site)
    assert RELOAD not in host.calls


def test_a_reload_that_failed_is_tried_again(host: Host, site: Site) -> None:
    run(site)
    file = site.gateway_file
    file.write_text(file.read_text().replace("requests_per_second: 50", "requests_per_second: 51"))
    host.fail[RELOAD] = StepError("services", "broken")
    with pytest.raises(StepError):
        run(site)
    host.fail.clear()
    assert run(site).changes == ["reloaded nginx"]


def test_another_checkouts_deployment_stops_it_before_the_host_is_looked_at(host: Host, site: Site) -> None:
    host.fail["owner"] = TollgateError("runs from other files")
    with pytest.raises(TollgateError, match="runs from other files"):
        run(site)
    assert host.calls == ["secrets", "engine", "owner"]
    assert not site.rendered_dir.exists()


def test_a_lost_secret_stops_it_before_a_new_one_is_made(host: Host, site: Site) -> None:
    host.fail["secrets"] = TollgateError("lacks postgres_password")
    with pytest.raises(TollgateError, match="lacks postgres_password"):
        run(site)
    assert not site.secrets_dir.exists()


def test_what_a_deploy_may_get_past_is_shown(host: Host, site: Site) -> None:
    host.warnings = ["little room"]
    assert "little room" in shown(run(site)).said


def test_a_broken_env_is_told_with_the_problems_of_the_other_files(host: Host, site: Site) -> None:
    site.env_file.write_text("REPLICAS=none\n")
    (site.tenants_dir / "broken.yaml").write_text("tenant: {id: broken}\nallowed_modles: []\n")
    with pytest.raises(InputError) as refused:
        run(site)
    assert {problem.file.name for problem in refused.value.problems} == {".env", "broken.yaml"}
    assert not site.secrets_dir.exists(), "whether a database needs the old ones cannot be known yet"


@pytest.mark.parametrize("until", STEPS)
def test_until_ends_after_that_step(host: Host, site: Site, until: str) -> None:
    made = run(site, until)
    expected = list(STEPS)[: list(STEPS).index(until) + 1]
    assert shown(made).titles == expected
    assert list(made.timings) == expected
    assert all(seconds >= 0 for seconds in made.timings.values())


@pytest.mark.parametrize(
    ("call", "step"),
    [
        ("engine", "engine"),
        ("preflight", "engine"),
        ("images", "images"),
        ("wait: ['postgres', 'redis']", "databases"),
        ("schema: run --rm -T --no-deps migrate", "schema"),
        ("tenants", "tenants"),
        ("request", "request"),
    ],
)
def test_a_failing_step_ends_the_run_there(host: Host, site: Site, call: str, step: str) -> None:
    host.fail[call] = StepError(step, "broken", "mend it")
    with pytest.raises(StepError, match=f"{step}: broken"):
        run(site)
    assert host.calls[-1] == call
    host.fail.clear()
    run(site)
    assert host.calls[-1] == "request", "run again, it goes on"


def test_a_failed_step_has_no_time_and_no_result(host: Host, site: Site) -> None:
    host.fail["images"] = StepError("images", "broken")
    made = Deploy(site, Shown())
    with pytest.raises(StepError):
        made.run()
    assert list(made.timings) == ["settings", "configuration", "engine"]
    assert list(shown(made).results) == ["settings", "configuration", "engine"]
    assert shown(made).titles[-1] == "images"


def test_a_broken_configuration_stops_it_before_anything_is_touched(host: Host, site: Site) -> None:
    (site.tenants_dir / "broken.yaml").write_text("tenant: {id: broken}\nallowed_modles: []\n")
    with pytest.raises(InputError, match="allowed_modles"):
        run(site)
    assert host.calls == ["secrets"], "which only looks"
    assert not site.rendered_dir.exists()


def test_a_price_that_litellms_list_lacks_stops_it_before_anything_is_touched(
    host: Host, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the image answers is tests/contract/stack_parts/test_price_list.py's."""
    site.gateway_file.write_text(
        "models:\n"
        "  test-model: {targets: [{model: embedded/test-model}], price: free}\n"
        "  mini: {targets: [{model: hosted_vllm/mini, api_base: 'http://x:1'}], price: litellm}\n"
    )
    monkeypatch.setattr(deploy.price_list, "docker", lambda *_, **__: '["hosted_vllm/mini"]\n')
    with pytest.raises(InputError, match="no price for hosted_vllm/mini") as caught:
        run(site)
    assert [(problem.file, problem.line) for problem in caught.value.problems] == [(site.gateway_file, 3)]
    assert "images" in host.calls
    assert not [call for call in host.calls if call.startswith(("databases", "services"))]
    monkeypatch.setattr(deploy.price_list, "docker", lambda *_, **__: "[]\n")
    run(site)


def test_what_was_restarted_counts_as_a_change(host: Host, site: Site) -> None:
    run(site)
    before = dict(host.containers)

    def recreate(_: Compose, step: str, *__: object, **___: object) -> str:
        if step == "services":
            host.containers["nginx"] = ("another id", "later")
        return QUIET

    host.compose_run = recreate  # type: ignore[method-assign]
    assert run(site).changes == ["started nginx"]
    assert before["nginx"] != host.containers["nginx"]


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (QUIET, 0),
        ("migrate: done: 3 applied, 217 already there, 0 indexes built, 9.1 s", 1),
        ("migrate: done: 0 applied, 220 already there, 2 indexes built, 9.1 s", 1),
        ("migrate: done: 10 applied, 210 already there, 10 indexes built, 9.1 s", 1),
    ],
)
def test_the_migrate_jobs_last_line_says_whether_the_schema_changed(
    host: Host, site: Site, line: str, changes: int
) -> None:
    run(site)
    host.migrated = f"migrate: connected\n{line}\n"
    assert len(run(site).changes) == changes


def test_leftovers_of_an_interrupted_run_are_told(host: Host, site: Site) -> None:
    host.half_recreated = ["2c9fa2626c3a_t-nginx-1"]
    assert "removed 2c9fa2626c3a_t-nginx-1, left by an interrupted run" in shown(run(site)).said


def test_what_is_left_out_is_told(host: Host, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "resolve", lambda *_, **__: stand_ins(watchers=False))
    made = run(site)
    said = "\n".join(shown(made).said)
    assert "left out: alloy, grafana, loki, socket-proxy: registry docker.io cannot be reached" in said
    assert "left out: gpt-4o-mini" in said
    kept = (site.rendered_dir / "left-out.txt").read_text()
    assert "grafana" in kept, "status repeats it"
    assert "gpt-4o-mini" in kept


def test_the_settings_of_the_site_reach_the_engine_and_the_images(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, object] = {}

    def resolve(source: str, *_: object, **keywords: object) -> object:
        given.update(keywords, source=source)
        return stand_ins()

    monkeypatch.setattr(deploy, "resolve", resolve)
    site = new_home(tmp_path / "other", "IMAGE_SOURCE=local", "DEBIAN_MIRROR=http://mirror.example/debian")
    run(site, "images")
    assert (given["source"], given["mirror"]) == ("local", "http://mirror.example/debian")


def test_changes_are_counted_for_the_line_of_their_step(host: Host, site: Site) -> None:
    made = Deploy(site, Shown())
    changes: Collection[str] = ["one", "two"]
    assert made.note(changes) == "2 changed"
    assert made.note([]) == "unchanged"
    assert made.changes == ["one", "two"]
