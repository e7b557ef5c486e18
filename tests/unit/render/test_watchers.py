"""Which watchers run, given the images that this machine has and GRAFANA."""

from __future__ import annotations

import pytest

from tollgate.render.watchers import GRAFANA_SET, OFF, WATCHERS, left_out, running
from tollgate.stack.containers.compose import OPTIONAL, needed

GONE = "manifest unknown"


@pytest.mark.parametrize(
    ("missing", "out"),
    [
        ([], {}),
        (["GRAFANA_IMAGE"], {"grafana": GONE}),
        (["PROMETHEUS_IMAGE"], {"prometheus": GONE}),
        (
            ["LOKI_IMAGE"],
            {"loki": GONE, "alloy": "it needs loki", "docker-socket-proxy": "it needs alloy"},
        ),
        (["SOCKET_PROXY_IMAGE"], {"docker-socket-proxy": GONE, "alloy": "it needs docker-socket-proxy"}),
        (["ALLOY_IMAGE"], {"alloy": GONE, "docker-socket-proxy": "it needs alloy"}),
    ],
)
def test_one_missing_image_leaves_out_its_service_and_those_that_need_it(
    missing: list[str], out: dict[str, str]
) -> None:
    unavailable = dict.fromkeys(missing, GONE)
    assert left_out(unavailable, grafana=True) == out
    assert running(unavailable, grafana=True) == [name for name in WATCHERS if name not in out]


def test_grafana_off_leaves_out_its_set_whatever_is_here() -> None:
    assert left_out({"LOKI_IMAGE": GONE}, grafana=False) == dict.fromkeys(GRAFANA_SET, OFF)
    assert not set(running({}, grafana=False)) & set(GRAFANA_SET)


def test_no_watcher_or_local_backend_is_needed_and_everything_else_is() -> None:
    core = ["litellm-1", "nginx", "postgres", "provider", "redis"]
    assert needed([*core, *OPTIONAL, "migrate", "backend-gpu"]) == core
    assert WATCHERS.keys() <= OPTIONAL
