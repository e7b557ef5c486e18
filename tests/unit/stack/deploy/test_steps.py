"""The order of a deploy, the changes it reports, and its errors. Fakes play Docker and LiteLLM."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.images import REGISTRY_ONLY, stand_ins
from tests.support.site import new_home
from tollgate.errors import InputError, StepError, TollgateError
from tollgate.migrate.applied import Migrated
from tollgate.render.observability import WITHOUT_GRAFANA
from tollgate.render.watchers import LATE
from tollgate.site import Site
from tollgate.stack.containers import bring_up
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.optional import NotUp
from tollgate.stack.deploy import left_out, steps
from tollgate.stack.deploy.steps import STEPS, Deploy
from tollgate.stack.host.engine import Engine
from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.images.recipes import ON_DEMAND
from tollgate.stack.images.resolve import Images, ImageSet
from tollgate.stack.tenants.tenancy import Applied

RELOAD = "services: kill --signal SIGHUP nginx"
UP = "up --detach --no-deps --quiet-pull"
SERVICES = ["litellm-1", "litellm-2", "migrate", "nginx", "postgres", "prometheus", "redis"]
QUIET = Migrated(0, 220, 0, 0.1).to_json()


@dataclass
class Shown(PlainProgress):
    """A Display that records what it shows."""

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
    """A fake engine and LiteLLM: its calls in order, its running containers, and the answer of each part."""

    calls: list[str] = field(default_factory=list)
    containers: dict[str, tuple[str, str]] = field(default_factory=dict)
    migrated: str = QUIET
    half_recreated: list[str] = field(default_factory=list)
    applied: Applied = field(default_factory=lambda: Applied([], []))
    fail: dict[str, TollgateError] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    not_up: list[NotUp] = field(default_factory=list)
    optional: list[str] = field(default_factory=lambda: ["started prometheus"])

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
    fake = Host()

    class Rolls:
        """A fake. containers/test_bring_up.py tests the real rollout."""

        def __init__(self, *_: object, everyone: bool) -> None:
            self.everyone = everyone

        def roll(self, replicas: Collection[str], up: object) -> None:
            fake.call(f"roll {'all of' if self.everyone else 'what changed of'} {' '.join(replicas)}")

        def remove(self, replicas: Collection[str]) -> None:
            assert not replicas

    def named(name: str, answer: object) -> Callable[..., object]:
        def does(*_: object, **__: object) -> object:
            fake.call(name)
            return answer() if callable(answer) else answer

        return does

    monkeypatch.setattr(steps, "ensure_engine", named("engine", Engine("27.1", "2.29", "0.16")))
    monkeypatch.setattr(steps.preflight, "check_secrets", named("secrets", None))
    monkeypatch.setattr(steps.preflight, "check_owner", named("owner", None))
    monkeypatch.setattr(steps.data_source, "check", named("data source", lambda: fake.recorded))
    monkeypatch.setattr(steps.preflight, "check_host", named("preflight", lambda: fake.warnings))
    monkeypatch.setattr(steps, "present", lambda: set(stand_ins().images.values()))
    monkeypatch.setattr(steps.Images, "provide", named("images", stand_ins))
    monkeypatch.setattr(steps.Images, "here", lambda _, wanted: among(stand_ins(), wanted).images)
    monkeypatch.setattr(steps.render.publish, "write", lambda *_: [])
    monkeypatch.setattr(Compose, "run", lambda *a, **k: fake.compose_run(*a, **k))
    monkeypatch.setattr(Compose, "running", lambda _: dict(fake.containers))
    monkeypatch.setattr(Compose, "services", lambda _: SERVICES)
    monkeypatch.setattr(Compose, "remove_half_recreated", lambda _: fake.half_recreated)
    monkeypatch.setattr(bring_up, "Rollout", Rolls)
    monkeypatch.setattr(bring_up, "wait_ready", lambda step, _, services, __: fake.call(f"wait: {sorted(services)}"))
    monkeypatch.setattr(steps.volumes, "settle", named("volumes", []))
    monkeypatch.setattr(steps.tenancy, "apply", named("tenants", lambda: fake.applied))
    monkeypatch.setattr(steps.first_request, "send", named("request", "200"))
    # tests/contract/stack_parts/test_optional_parts.py tests the real ones. Here they start once.
    monkeypatch.setattr(
        steps.optional,
        "bring_up",
        named("optional", lambda: ([fake.optional.pop() for _ in fake.optional], fake.not_up)),
    )
    return fake


def among(images: ImageSet, wanted: Collection[str]) -> ImageSet:
    """Those of `wanted`."""
    here = {name: image for name, image in images.images.items() if name in wanted}
    return ImageSet(here, {name: why for name, why in images.unavailable.items() if name in wanted})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_home(tmp_path / "home")


def run(site: Site, until: str = "") -> Deploy:
    deploy = Deploy(site, Shown())
    deploy.run(until)
    return deploy


def shown(run: Deploy) -> Shown:
    assert isinstance(run.display, Shown)
    return run.display


def test_the_docstring_lists_the_steps_in_order() -> None:
    documented = re.findall(r"(?:→|:) +(\w+)(?= →|\n|$)|→ (\w+)", steps.__doc__ or "")
    assert [first or second for first, second in documented] == list(STEPS)


def test_every_step_runs_once_and_in_order(host: Host, site: Site) -> None:
    deploy = run(site)
    assert host.calls == [
        "secrets",
        "engine",
        "owner",
        "data source",
        "preflight",
        "images",
        "volumes",
        f"databases: {UP} postgres redis",
        "wait: ['postgres', 'redis']",
        "schema: run --rm -T --no-deps migrate",
        f"services: {UP} --remove-orphans nginx postgres redis",
        f"services: {UP} litellm-1 litellm-2",
        "wait: ['litellm-1', 'litellm-2', 'nginx', 'postgres', 'redis']",
        "tenants",
        "request",
        "optional",
    ]
    assert shown(deploy).titles == list(STEPS)
    assert list(shown(deploy).results) == list(STEPS)


def test_a_second_run_changes_nothing(host: Host, site: Site) -> None:
    first = run(site).changes
    assert "generated secrets/redis_password" in first
    assert "rendered compose.env" in first
    assert "started nginx" in first
    second = run(site)
    assert second.changes == []
    assert "unchanged" in shown(second).results["services"]


def test_running_replicas_are_replaced_one_by_one(host: Host, site: Site) -> None:
    run(site)
    host.calls.clear()
    run(site)
    assert [call for call in host.calls if call.startswith("roll")] == ["roll what changed of litellm-1 litellm-2"]


def test_twin_replace_replicas_replaces_all_of_them(host: Host, site: Site) -> None:
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
    assert RELOAD not in host.calls, "nginx has read the files"


def test_a_started_nginx_needs_no_reload(host: Host, site: Site) -> None:
    assert "started nginx" in run(site).changes
    assert RELOAD not in host.calls
    run(site)
    assert RELOAD not in host.calls


def test_a_failed_reload_is_retried(host: Host, site: Site) -> None:
    run(site)
    file = site.gateway_file
    file.write_text(file.read_text().replace("requests_per_second: 50", "requests_per_second: 51"))
    host.fail[RELOAD] = StepError("services", "broken")
    with pytest.raises(StepError):
        run(site)
    host.fail.clear()
    assert run(site).changes == ["reloaded nginx"]


def test_another_checkouts_stack_stops_the_deploy_before_host_checks(host: Host, site: Site) -> None:
    host.fail["owner"] = TollgateError("runs from other files")
    with pytest.raises(TollgateError, match="runs from other files"):
        run(site)
    assert host.calls == ["secrets", "engine", "owner"]
    assert not site.rendered_dir.exists()


def test_a_lost_secret_stops_the_deploy_before_a_new_one_is_made(host: Host, site: Site) -> None:
    host.fail["secrets"] = TollgateError("lacks postgres_password")
    with pytest.raises(TollgateError, match="lacks postgres_password"):
        run(site)
    assert not site.secrets_dir.exists()


def test_data_of_another_source_stops_the_deploy_before_a_change(host: Host, site: Site) -> None:
    host.fail["data source"] = InputError([])
    with pytest.raises(InputError):
        run(site)
    assert host.calls == ["secrets", "engine", "owner", "data source"]
    del host.fail["data source"]
    host.recorded = ["REDIS_SOURCE=local"]
    assert "set REDIS_SOURCE=local in .env" in run(site, until="engine").changes


def test_warnings_about_the_host_are_shown(host: Host, site: Site) -> None:
    host.warnings = ["low disk space"]
    assert "low disk space" in shown(run(site)).said


def test_a_broken_env_is_reported_with_all_other_problems(host: Host, site: Site) -> None:
    site.env_file.write_text("REPLICAS=none\n")
    (site.tenants_dir / "broken.yaml").write_text("tenant: {id: broken}\nallowed_modles: []\n")
    with pytest.raises(InputError) as refused:
        run(site)
    assert {problem.file.name for problem in refused.value.problems} == {".env", "broken.yaml"}
    assert not site.secrets_dir.exists(), "it is not known yet whether a database needs the old secrets"


@pytest.mark.parametrize("until", STEPS)
def test_until_ends_after_that_step(host: Host, site: Site, until: str) -> None:
    deploy = run(site, until)
    expected = list(STEPS)[: list(STEPS).index(until) + 1]
    assert shown(deploy).titles == expected
    assert list(deploy.timings) == expected
    assert all(seconds >= 0 for seconds in deploy.timings.values())


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
    host.fail[call] = StepError(step, "broken", "correct it")
    with pytest.raises(StepError, match=f"{step}: broken"):
        run(site)
    assert host.calls[-1] == call
    host.fail.clear()
    run(site)
    assert host.calls[-1] == "optional", "a second run continues"


def test_a_failed_step_has_no_time_and_no_result(host: Host, site: Site) -> None:
    host.fail["images"] = StepError("images", "broken")
    deploy = Deploy(site, Shown())
    with pytest.raises(StepError):
        deploy.run()
    assert list(deploy.timings) == ["settings", "configuration", "engine"]
    assert list(shown(deploy).results) == ["settings", "configuration", "engine"]
    assert shown(deploy).titles[-1] == "images"


def test_a_broken_configuration_stops_the_deploy_before_a_change(host: Host, site: Site) -> None:
    (site.tenants_dir / "broken.yaml").write_text("tenant: {id: broken}\nallowed_modles: []\n")
    with pytest.raises(InputError, match="allowed_modles"):
        run(site)
    assert host.calls == ["secrets"], "this check changes nothing"
    assert not site.rendered_dir.exists()


def test_a_price_that_litellm_lacks_stops_the_deploy_before_a_change(
    host: Host, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tests/contract/stack_parts/test_price_list.py asks the real image."""
    site.gateway_file.write_text(
        "models:\n"
        "  test-model: {targets: [{model: embedded/test-model}], price: free}\n"
        "  mini: {targets: [{model: hosted_vllm/mini, api_base: 'http://x:1'}], price: litellm}\n"
    )
    monkeypatch.setattr(steps.price_list, "docker", lambda *_, **__: '["hosted_vllm/mini"]\n')
    with pytest.raises(InputError, match="no price for hosted_vllm/mini") as caught:
        run(site)
    assert [(problem.file, problem.line) for problem in caught.value.problems] == [(site.gateway_file, 3)]
    assert "images" in host.calls
    assert not [call for call in host.calls if call.startswith(("databases", "services"))]
    monkeypatch.setattr(steps.price_list, "docker", lambda *_, **__: "[]\n")
    run(site)


def test_a_recreated_container_counts_as_a_change(host: Host, site: Site) -> None:
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
        (Migrated(3, 217, 0, 9.1).to_json(), 1),
        (Migrated(0, 220, 2, 9.1).to_json(), 1),
        (Migrated(10, 210, 10, 9.1).to_json(), 1),
    ],
)
def test_the_migrate_jobs_last_line_says_whether_the_schema_changed(
    host: Host, site: Site, line: str, changes: int
) -> None:
    run(site)
    host.migrated = f"migrate: connected\n{line}\n"
    assert len(run(site).changes) == changes


def test_the_migrate_jobs_result_is_shown_in_words(host: Host, site: Site) -> None:
    host.migrated = f"migrate: done\n{Migrated(3, 217, 0, 9.1).to_json()}\n"
    assert "migrate: done: 3 applied, 217 already there, 0 indexes built, 9.1 s" in run(site).changes


def test_a_migrate_job_without_a_result_ends_the_deploy(host: Host, site: Site) -> None:
    host.migrated = "migrate: connected\n"
    with pytest.raises(StepError, match="schema: the migrate job printed no JSON"):
        run(site)


def test_removed_leftovers_of_an_interrupted_run_are_shown(host: Host, site: Site) -> None:
    host.half_recreated = ["2c9fa2626c3a_t-nginx-1"]
    assert "removed 2c9fa2626c3a_t-nginx-1, left by an interrupted run" in shown(run(site)).said


def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No registry answers, and Grafana's images are not here."""
    without = stand_ins(watchers=False)
    monkeypatch.setattr(steps.Images, "here", lambda _, wanted: among(without, wanted).images)
    monkeypatch.setattr(steps.Images, "provide", lambda _, wanted: among(without, wanted))


def test_images_that_no_request_needs_come_after_the_first_request(
    host: Host, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps.Images, "here", lambda *_: {})

    def provide(_: Images, wanted: Collection[str]) -> ImageSet:
        host.call(f"provide {len(LATE.intersection(wanted))} late, {len(set(wanted) - LATE)} core")
        return among(stand_ins(), wanted)

    monkeypatch.setattr(steps.Images, "provide", provide)
    deploy = run(site)
    core = len(stand_ins().images.keys() - LATE)
    assert [call for call in host.calls if call == "request" or call.startswith("provide")] == [
        f"provide 0 late, {core} core",
        "request",
        f"provide {len(LATE) - len(ON_DEMAND & LATE)} late, 0 core",
    ]
    assert "rendered compose.env" in deploy.changes
    assert "grafana" in deploy.compose.environment["COMPOSE_PROFILES"]
    assert "image example.invalid/grafana_image:1" in deploy.changes
    assert left_out.read(site).watchers == {}


def test_a_deploy_that_finds_the_same_images_missing_changes_nothing(
    host: Host, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing(monkeypatch)
    assert run(site).changes
    assert run(site).changes == []
    assert "grafana" in left_out.read(site).watchers


def test_an_image_of_backups_that_fails_to_build_leaves_only_backups_out(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = stand_ins()
    broken = ImageSet(
        {name: image for name, image in without.images.items() if name != "BACKUP_IMAGE"},
        {"BACKUP_IMAGE": "its build failed"},
    )
    monkeypatch.setattr(steps.Images, "here", lambda _, wanted: among(broken, wanted).images)
    monkeypatch.setattr(steps.Images, "provide", lambda _, wanted: among(broken, wanted))
    monkeypatch.setattr(steps.Repository, "ensure", lambda _: None)
    deploy = run(new_home(tmp_path / "other", "BACKUP_SCHEDULE=17 2 * * *"))
    assert "left out: backup: its build failed" in shown(deploy).said
    assert [part.service for part in deploy.not_up] == ["backup"]
    assert "request" in host.calls
    assert "backup" not in deploy.compose.environment["COMPOSE_PROFILES"]
    assert (deploy.site.rendered_dir / "compose" / "backup.yaml").is_file(), "described, and not enabled"


def test_left_out_watchers_and_models_are_shown(host: Host, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    missing(monkeypatch)
    deploy = run(site)
    said = "\n".join(shown(deploy).said)
    line = "left out: alloy, docker-socket-proxy, grafana, loki: registry docker.io cannot be reached"
    assert line in said
    assert "left out: gpt-4o-mini" in said
    kept = left_out.read(site).lines
    assert kept[0] == line, "status repeats it"
    assert "gpt-4o-mini" in "".join(kept)


def test_grafana_off_resolves_none_of_its_images(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Collection[str]] = []

    def provide(_: Images, wanted: Collection[str]) -> object:
        asked.append(wanted)
        return ImageSet({name: image for name, image in stand_ins().images.items() if name in wanted})

    monkeypatch.setattr(Images, "provide", provide)
    monkeypatch.setattr(Images, "here", lambda *_: {})
    deploy = run(new_home(tmp_path / "other", "GRAFANA=off"))
    core, others = asked
    assert not {*core, *others} & set(REGISTRY_ONLY)
    line = "left out: alloy, docker-socket-proxy, grafana, loki: GRAFANA=off in .env"
    assert line in shown(deploy).said
    env = (deploy.site.rendered_dir / "compose.env").read_text()
    assert f"COMPOSE_PROFILES='{','.join(WITHOUT_GRAFANA)}'" in env
    assert "job_name: loki" not in (deploy.site.rendered_dir / "prometheus" / "prometheus.yml").read_text()


def test_a_failed_optional_service_does_not_fail_the_deploy(host: Host, site: Site) -> None:
    host.not_up = [NotUp("loki", "it stops again and again (exit status 3)", "correct it", ("cannot read loki.yaml",))]
    deploy = run(site)
    assert host.calls[-1] == "optional"
    assert deploy.not_up == host.not_up
    [warning] = [line for line in shown(deploy).said if line.startswith("warning: loki is not up")]
    assert "requests work without it" in warning
    assert "| cannot read loki.yaml" in warning
    assert "hint:  correct it" in warning
    assert shown(deploy).results["optional"] == "1 changed; not up: loki"


def test_the_settings_of_the_site_reach_the_engine_and_the_images(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Images] = []

    def provide(images: Images, _: Collection[str]) -> object:
        given.append(images)
        return stand_ins()

    monkeypatch.setattr(Images, "provide", provide)
    site = new_home(tmp_path / "other", "IMAGE_SOURCE=local", "DEBIAN_MIRROR=http://mirror.example/debian")
    run(site, "images")
    [images] = given
    assert (images.settings.image_source, images.settings.debian_mirror) == ("local", "http://mirror.example/debian")


def test_a_deploy_asks_once_for_every_image_that_its_settings_need(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Collection[str]] = []

    def provide(_: Images, wanted: Collection[str]) -> object:
        asked.append(wanted)
        return stand_ins()

    def here(_: Images, wanted: Collection[str]) -> object:
        looked_for.append(wanted)
        return {}

    looked_for: list[Collection[str]] = []
    monkeypatch.setattr(Images, "provide", provide)
    monkeypatch.setattr(Images, "here", here)
    lines = ("TLS=acme", "GATEWAY_HOSTS=gateway.example", "ACME_EMAIL=a@gateway.example", "BACKUP_SCHEDULE=17 2 * * *")
    site = new_home(tmp_path / "other", *lines)
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF")
    with site.gateway_file.open("a") as file:
        file.write(f"backends:\n  here: {{engine: llama.cpp, run: true, model: {model}}}\n")
    tmp_path.chmod(0o755)
    run(site, "images")
    [wanted], [late] = asked, looked_for
    assert {"LITELLM_IMAGE", "LLAMA_CPP_IMAGE"} <= set(wanted)
    assert {"GRAFANA_IMAGE", "ACME_IMAGE", "BACKUP_IMAGE"} <= set(late)
    assert not set(wanted) & set(late)
    assert "VLLM_IMAGE" not in wanted


def test_changes_are_counted_for_the_line_of_their_step(host: Host, site: Site) -> None:
    deploy = Deploy(site, Shown())
    changes: Collection[str] = ["one", "two"]
    assert deploy.note(changes) == "2 changed"
    assert deploy.note([]) == "unchanged"
    assert deploy.changes == ["one", "two"]
