"""Which images a deploy gets before the first request and after it, and what it leaves out without one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.images import REGISTRY_ONLY, stand_ins
from tests.support.site import new_home
from tests.unit.stack.deploy.played import Host, among, missing, run, shown
from tollgate.cli.backup_schedule import must_run
from tollgate.errors import TollgateError
from tollgate.render.observability import WITHOUT_GRAFANA
from tollgate.render.watchers import LATE
from tollgate.site import Site
from tollgate.stack.deploy import left_out, steps
from tollgate.stack.images.recipes import ON_DEMAND
from tollgate.stack.images.resolve import Images, ImageSet


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


def test_what_is_left_out_is_written_in_one_order(host: Host, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names come from sets, whose order is another one in each process."""
    missing(monkeypatch)
    deploy = run(site)
    reasons = dict(deploy.images.unavailable)
    assert len(reasons) > 1
    texts = {
        left_out.render(site, deploy.configuration, replace(deploy.images, unavailable=dict(order))).text
        for order in (reasons.items(), reversed(reasons.items()))
    }
    assert len(texts) == 1


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


def test_a_repository_of_backups_that_cannot_be_prepared_ends_no_deploy(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise TollgateError("No space left on device")

    monkeypatch.setattr(steps.Repository, "ensure", refuse)
    deploy = run(new_home(tmp_path / "other", "BACKUP_SCHEDULE=17 2 * * *"))
    assert "request" in host.calls
    [problem] = deploy.not_up
    assert problem.service == "backup"
    assert "No space left on device" in problem.why
    with pytest.raises(TollgateError, match="No space left"):
        must_run(deploy.not_up)


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
    assert "LITELLM_IMAGE" in wanted
    assert {"GRAFANA_IMAGE", "ACME_IMAGE", "BACKUP_IMAGE", "LLAMA_CPP_IMAGE"} <= set(late)
    assert not set(wanted) & set(late)
    assert "VLLM_IMAGE" not in {*wanted, *late}
