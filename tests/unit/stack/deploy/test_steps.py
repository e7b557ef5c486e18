"""The order of a deploy, the changes it reports, and its errors. Fakes play Docker and LiteLLM."""

from __future__ import annotations

import re
from collections.abc import Collection

import pytest

from tests.unit.stack.deploy.played import QUIET, Host, Shown, run, shown
from tollgate.errors import InputError, StepError, TollgateError
from tollgate.migrate.applied import Migrated
from tollgate.site import Site
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.optional import NotUp
from tollgate.stack.deploy import steps
from tollgate.stack.deploy.steps import STEPS, Deploy

RELOAD = "services: kill --signal SIGHUP nginx"
UP = "up --detach --no-deps --quiet-pull"


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


def test_changes_are_counted_for_the_line_of_their_step(host: Host, site: Site) -> None:
    deploy = Deploy(site, Shown())
    changes: Collection[str] = ["one", "two"]
    assert deploy.note(changes) == "2 changed"
    assert deploy.note([]) == "unchanged"
    assert deploy.changes == ["one", "two"]
