"""The doctor's findings. For each problem a twin test shows that a correct deployment passes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.errors import TollgateError
from tollgate.render.watchers import OFF
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.container import Container
from tollgate.stack.deployment import Deployment
from tollgate.stack.doctor import files, host, running
from tollgate.stack.doctor.finding import Finding
from tollgate.stack.host.run import Ended
from tollgate.stack.secrets import store as secrets

KEY = "ANTHROPIC_API_KEY=sk-ant-0123456789"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = new_home(tmp_path / "home")
    site.env_file.write_text(site.env_example.read_text())
    secrets.ensure(site)
    return site


def levels(findings: Iterator[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def all_have_hints(findings: list[Finding]) -> bool:
    return all(finding.hint for finding in findings if finding.level in ("WARN", "FAIL"))


def test_a_fresh_site_is_in_order(site: Site) -> None:
    assert levels(files.environment(site)) == ["PASS"]
    assert levels(files.secret_files(site)) == ["PASS"]
    assert next(f.level for f, _ in files.configuration(site)) == "PASS"


def test_a_missing_env_fails(site: Site) -> None:
    site.env_file.unlink()
    assert levels(files.environment(site)) == ["FAIL"]


def test_names_that_env_lacks_are_a_warning(site: Site) -> None:
    text = site.env_file.read_text()
    site.env_file.write_text(text.replace("REPLICAS=3\n", "").replace("IMAGE_SOURCE=local\n", ""))
    [finding] = files.environment(site)
    assert finding.level == "WARN"
    assert finding.message == "it lacks REPLICAS, IMAGE_SOURCE of .env.example"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_an_env_that_others_can_read_fails(site: Site, mode: int) -> None:
    site.env_file.chmod(mode)
    findings = list(files.environment(site))
    assert [finding.level for finding in findings] == ["PASS", "FAIL"]
    assert f"found {mode:04o}" in findings[1].message
    assert f"chmod 600 {site.env_file}" in findings[1].hint


@pytest.mark.parametrize("name", ["redis_password", "tenants/example", "tenants", "."])
def test_a_secret_that_others_can_read_fails(site: Site, name: str) -> None:
    secrets.make_tenant_key(site, "example")
    path = site.secrets_dir / name
    path.chmod(0o755 if path.is_dir() else 0o644)
    [finding] = files.secret_files(site)
    assert finding.level == "FAIL"
    assert finding.hint == f"run chmod {'700' if path.is_dir() else '600'} {path}"


@pytest.mark.parametrize("weak", ["short", "a" * 64, "change-me", "abcabcabc" * 8])
def test_a_weak_secret_fails_and_is_not_shown(site: Site, weak: str) -> None:
    (site.secrets_dir / "grafana_admin_password").write_text(weak)
    [finding] = files.secret_files(site)
    assert (finding.level, "is weak" in finding.message) == ("FAIL", True)
    assert weak not in finding.message + finding.hint


def test_a_master_key_without_litellms_prefix_fails(site: Site) -> None:
    (site.secrets_dir / "litellm_master_key").write_text(secrets.generate().reveal())
    [finding] = files.secret_files(site)
    assert finding.level == "FAIL"
    assert "expected it to start with sk-" in finding.message


def test_a_missing_secret_and_a_missing_directory_fail(site: Site, tmp_path: Path) -> None:
    (site.secrets_dir / "redis_password").unlink()
    [finding] = files.secret_files(site)
    assert "redis_password is missing (Redis)" in finding.message
    [finding] = files.secret_files(Site(tmp_path, tmp_path))
    assert "does not exist" in finding.message


def test_every_problem_of_the_configuration_names_its_place(site: Site) -> None:
    (site.tenants_dir / "broken.yaml").write_text(
        "tenant: {id: broken}\nallowed_modles: []\nbudget: {daily_limit: x}\n"
    )
    findings = [finding for finding, loaded in files.configuration(site) if loaded is None]
    assert [finding.level for finding in findings] == ["FAIL", "FAIL"]
    assert f"{site.tenants_dir / 'broken.yaml'}:2: allowed_modles: " in findings[0].message
    assert all_have_hints(findings)


def test_a_missing_file_is_reported_without_a_line_number(site: Site) -> None:
    site.gateway_file.unlink()
    [(finding, _)] = files.configuration(site)
    assert finding.message == f"{site.gateway_file}: no such file"


def exposure(site: Site, *tenants: str, env: str = "") -> list[Finding]:
    """The findings with these tenants (`name: models`) and the shipped `example`."""
    site.env_file.write_text(env)
    for line in tenants:
        name, _, models = line.partition(": ")
        allowed = f"allowed_models: [{models}]\n" if models else ""
        (site.tenants_dir / f"{name}.yaml").write_text(f"tenant: {{id: {name}}}\n{allowed}")
    return list(files.exposure(configuration.load(site)))


def test_with_a_provider_key_only_example_reaches_the_embedded_provider(site: Site) -> None:
    [finding] = exposure(site, "acme: test-model", "mint: claude-sonnet-5-5", env=KEY)
    assert finding.level == "WARN"
    assert "test-model is allowed for acme" in finding.message
    assert "mint" not in finding.message
    assert finding.hint


def test_a_tenant_with_every_model_is_warned_about_too(site: Site) -> None:
    [finding] = exposure(site, "everything", env=KEY)
    assert finding.level == "WARN"
    assert "everything" in finding.message


def test_twin_a_tenant_with_only_real_models_passes(site: Site) -> None:
    [finding] = exposure(site, "acme: claude-sonnet-5-5", env=KEY)
    assert finding.level == "PASS"


def test_twin_without_a_provider_key_the_check_is_skipped(site: Site) -> None:
    [finding] = exposure(site, "acme: test-model")
    assert finding.level == "SKIP"


@pytest.mark.parametrize(("free", "level"), [(100.0, "PASS"), (4.0, "WARN"), (0.5, "FAIL")])
def test_free_disk_space(monkeypatch: pytest.MonkeyPatch, free: float, level: str) -> None:
    monkeypatch.setattr(host.preflight, "disk_free_gib", lambda: free)
    monkeypatch.setattr(host.preflight, "memory_gib", lambda: 16.0)
    findings = list(host.room())
    assert [finding.level for finding in findings] == [level, "PASS"]
    assert all_have_hints(findings)


def test_a_clock_before_the_kits_release_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.time, "time", lambda: 0.0)
    assert levels(host.clock(site)) == ["FAIL"]


@pytest.mark.parametrize(("state", "level"), [(0, "PASS"), (host.TIME_ERROR, "WARN")])
def test_a_clock_without_a_time_daemon_is_a_warning(
    site: Site, monkeypatch: pytest.MonkeyPatch, state: int, level: str
) -> None:
    monkeypatch.setattr(host, "_kernel_clock_state", lambda: state)
    assert levels(host.clock(site)) == [level]


def test_the_kernel_reports_a_clock_state() -> None:
    assert host._kernel_clock_state() in range(6)


# ---- the running stack; the tests set Compose's answers


@pytest.fixture
def compose(site: Site, monkeypatch: pytest.MonkeyPatch) -> Compose:
    monkeypatch.setattr(Compose, "services", lambda _: ["migrate", "nginx", "postgres"])
    return Compose.core(site, "tollgate-test")


def rows(monkeypatch: pytest.MonkeyPatch, **states: tuple[str, str]) -> None:
    containers = [Container(name, f"t-{name}-1", "a", state, health, 0, "") for name, (state, health) in states.items()]
    monkeypatch.setattr(Compose, "containers", lambda _: containers)


def test_healthy_containers_pass_without_the_migrate_job(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(monkeypatch, nginx=("running", "healthy"), postgres=("running", "healthy"))
    assert [(f.level, service) for f, service in running._containers(compose)] == [
        ("PASS", "nginx"),
        ("PASS", "postgres"),
    ]


def test_each_container_that_is_not_healthy_fails_with_its_state(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows(monkeypatch, nginx=("running", "unhealthy"))
    findings = [finding for finding, _ in running._containers(compose)]
    assert [(f.check, f.level, f.message) for f in findings] == [
        ("nginx", "FAIL", "expected healthy, found unhealthy"),
        ("postgres", "FAIL", "expected healthy, found not created"),
    ]
    assert "make logs S=nginx" in findings[0].hint


@pytest.mark.parametrize(("service", "level"), [("loki", "WARN"), ("prometheus", "WARN"), ("backup", "FAIL")])
def test_an_optional_service_is_a_warning_unless_it_takes_backups(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, service: str, level: str
) -> None:
    monkeypatch.setattr(Compose, "services", lambda _: [service])
    monkeypatch.setattr(Compose, "tail", lambda *_: ["first", "Authorization: Bearer sk-0123456789abcdefghij0123"])
    rows(monkeypatch, **{service: ("restarting", "")})
    [(finding, healthy)] = running._containers(compose)
    assert (finding.level, finding.check, healthy) == (level, service, "")
    assert "it stops again and again" in finding.message
    assert "Bearer ***" in finding.message, "its last line says why, without the key"
    assert f"make logs S={service}" in finding.hint


def test_a_left_out_service_is_a_warning_unless_turned_off(site: Site) -> None:
    kept = {"watchers": {"grafana": OFF, "loki": "manifest unknown", "backup": "its build failed"}, "models": []}
    (site.rendered_dir).mkdir(parents=True)
    site.left_out_file.write_text(json.dumps(kept))
    findings = {finding.check: (finding.level, finding.message) for finding in running._left_out(site)}
    assert findings == {
        "grafana": ("SKIP", "left out: GRAFANA=off in .env"),
        "loki": ("WARN", "left out: manifest unknown"),
        "backup": ("FAIL", "left out: its build failed"),
    }


def test_checks_of_an_unhealthy_container_are_skipped(compose: Compose) -> None:
    assert levels(running._database(compose, False)) == ["SKIP"]
    assert levels(running._redis(compose, False)) == ["SKIP"]


@pytest.mark.parametrize(
    ("status", "level"), [(0, "PASS"), (2, "FAIL"), (1, "FAIL")], ids=["migrated", "behind", "not reachable"]
)
def test_the_database(compose: Compose, monkeypatch: pytest.MonkeyPatch, status: int, level: str) -> None:
    done = Ended(status, "migrate: 3 pending, 217 applied\n")
    monkeypatch.setattr(running, "run", lambda *_, **__: done)
    [finding] = running._database(compose, True)
    assert finding.level == level
    assert "3 pending" in finding.message


@pytest.mark.parametrize(
    ("answer", "level"),
    [("maxmemory-policy\nnoeviction", "PASS"), ("maxmemory-policy\nallkeys-lru", "FAIL"), (None, "FAIL")],
)
def test_a_redis_that_evicts_fails(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, answer: str | None, level: str
) -> None:
    monkeypatch.setattr(running, "ask", lambda *_: answer)
    assert levels(running._redis(compose, True)) == [level]


def test_images_are_checked_by_the_name_compose_uses(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker image ls` prints docker.io/library/redis as redis; only the engine knows that both are the same."""
    here = {"docker.io/library/redis:8.10.2"}
    monkeypatch.setattr(Compose, "rendered", True)
    described = {"services": {"redis": {"image": "docker.io/library/redis:8.10.2"}}}
    monkeypatch.setattr(Compose, "ask", lambda *_: json.dumps(described))
    monkeypatch.setattr(running, "ask", lambda *words: "sha256:1" if words[-1] in here else None)
    assert levels(running._images(compose)) == ["PASS"]
    here.clear()
    [finding] = running._images(compose)
    assert (finding.level, finding.message) == ("FAIL", "missing: docker.io/library/redis:8.10.2 (redis)")
    described["services"] = {"loki": {"image": "docker.io/grafana/loki:3.7.8"}}
    [finding] = running._images(compose)
    assert (finding.level, finding.message) == ("WARN", "missing: docker.io/grafana/loki:3.7.8 (loki)")


def test_an_engine_error_is_a_finding(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(_: Compose) -> list[Container]:
        raise TollgateError("docker compose ps: required variable X is missing")

    monkeypatch.setattr(running, "engine_version", lambda: "27.1")
    monkeypatch.setattr(Compose, "rendered", True)
    monkeypatch.setattr(Compose, "containers", refuses)
    [finding] = running.examine(site, configuration.load(site))
    assert (finding.level, finding.check) == ("FAIL", "containers")
    assert "required variable X" in finding.message


def test_a_refused_request_fails_with_the_gateways_words(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def send(*_: object) -> str:
        raise TollgateError("POST ...: HTTP 401: no", "make logs")

    monkeypatch.setattr(running.first_request, "send", send)
    [finding] = running._request(Deployment.of(site), configuration.load(site))
    assert (finding.level, finding.message, finding.hint) == ("FAIL", "POST ...: HTTP 401: no", "make logs")
