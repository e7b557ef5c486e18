"""The values behind nginx's configuration: times, limits, tables that must stay safe to put into it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import pytest

from tollgate.render import nginx_errors
from tollgate.render.nginx import CONSOLE_ROUTES, HIDDEN_HEADERS, OWN_ROUTES, ROUTES, render_nginx
from tollgate.services.requests.routes import CONSOLE, CONSOLE_PAGE, PAGE, USAGE

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Limits:
    requests_per_second: int = 50
    burst: int = 100
    connections_per_address: int = 1000
    max_body_mb: int = 32
    read_timeout_s: float = 600.0
    connect_timeout_s: float = 5.0


def rendered(limits: Limits | None = None, replicas: int = 3) -> dict[str, str]:
    return {str(file.path): file.text for file in render_nginx(ROOT, limits or Limits(), replicas, "1.2.3")}


def directive(text: str, name: str) -> list[str]:
    return re.findall(rf"^\s*{name}\s+(.*);$", text, re.MULTILINE)


def test_the_same_values_give_the_same_bytes() -> None:
    assert rendered() == rendered()


def test_each_file_says_where_it_comes_from() -> None:
    for path, text in rendered().items():
        if path != "nginx/replicas":
            note = text.splitlines()[1 if text.startswith("#!") else 0]
            assert re.fullmatch(r"# rendered from nginx/\S+, do not edit", note), path
            assert (ROOT / note.split()[3].rstrip(",")).is_file(), path


def test_only_the_script_is_executable() -> None:
    modes = {file.path: file.mode for file in render_nginx(ROOT, Limits(), 3, "1.2.3")}
    assert modes.pop(PurePosixPath("nginx/entrypoint.sh")) == 0o755
    assert modes.pop(PurePosixPath("nginx/checks.sh")) == 0o755
    assert set(modes.values()) == {0o644}


@pytest.mark.parametrize(("replicas", "tries"), [(1, "1"), (2, "2"), (3, "3"), (9, "3")])
def test_the_number_of_replicas_bounds_the_tries(replicas: int, tries: str) -> None:
    files = rendered(replicas=replicas)
    assert files["nginx/replicas"].split() == [f"litellm-{number}" for number in range(1, replicas + 1)]
    assert directive(files["nginx/snippets/transport.conf"], "proxy_next_upstream_tries") == [tries]


@pytest.mark.parametrize(("seconds", "text"), [(600.0, "600s"), (0.5, "500ms"), (1.25, "1250ms"), (0.0001, "1ms")])
def test_times_are_whole_seconds_or_milliseconds(seconds: float, text: str) -> None:
    transport = rendered(replace(Limits(), read_timeout_s=seconds))["nginx/snippets/transport.conf"]
    assert directive(transport, "proxy_read_timeout") == [text]
    # The retry limit must not outlast the read timeout, or a silent replica's request is paid for twice.
    assert directive(transport, "proxy_next_upstream_timeout") == [text]


@pytest.mark.parametrize(("read_timeout", "shutdown"), [(60, "660s"), (600, "660s"), (1800, "1860s")])
def test_old_workers_outlive_the_longest_answer(read_timeout: int, shutdown: str) -> None:
    files = rendered(replace(Limits(), read_timeout_s=read_timeout))
    assert directive(files["nginx/nginx.conf"], "worker_shutdown_timeout") == [shutdown]


def test_the_operator_s_limits_are_all_used() -> None:
    files = rendered(Limits(7, 11, 5, 13, 17, 19))
    conf = files["nginx/nginx.conf"]
    assert "rate=7r/s" in conf
    assert "burst=11 " in conf
    assert "limit_conn per_address 5;" in conf
    assert directive(conf, "client_max_body_size") == ["13m"]
    assert directive(files["nginx/snippets/transport.conf"], "proxy_connect_timeout") == ["19s"]
    assert "7 a second" in files["nginx/snippets/errors.conf"]
    assert "13 MB" in files["nginx/snippets/errors.conf"]


def test_every_error_body_is_json_in_one_of_two_shapes() -> None:
    bodies = re.findall(r"return (\d+) '(.*)';", rendered()["nginx/snippets/errors.conf"])
    assert len(bodies) >= 20
    for status, body in bodies:
        parsed = json.loads(body)
        assert 400 <= int(status) < 600
        assert parsed["error"]["message"].endswith(".")
        assert set(parsed) in ({"type", "error", "request_id"}, {"error"})


def test_no_error_text_can_break_out_of_its_string() -> None:
    errors = [*nginx_errors.simple(100, 50), nginx_errors.UNREACHABLE, nginx_errors.BROKEN_OFF, nginx_errors.SILENT]
    assert not [error.code for error in errors if re.search(r"""['"\\$\n]""", error.message)]
    # Claude Code turns wording with this header's name into "Please run /login".
    assert not [error.code for error in errors if "x-api-key" in error.message.lower()]


def test_routes_are_plain_paths() -> None:
    assert not [route for route in ROUTES if not re.fullmatch(r"(/[a-z0-9_]+)+", route.path)]
    assert len({route.path for route in ROUTES}) == len(ROUTES)


def test_the_call_id_stays_visible_and_no_header_is_hidden_twice() -> None:
    assert "x-litellm-call-id" not in HIDDEN_HEADERS
    assert len(set(HIDDEN_HEADERS)) == len(HIDDEN_HEADERS)


def listeners(conf: str) -> dict[str, str]:
    """Each `server` of nginx.conf by its port."""
    blocks = re.split(r"^    server \{$", conf, flags=re.MULTILINE)[1:]
    return {directive(block, "listen")[0].split()[0]: block for block in blocks}


@pytest.mark.parametrize("gateways", [0, 2])
def test_the_console_is_on_the_admin_listener_only(gateways: int) -> None:
    files = {str(file.path): file.text for file in render_nginx(ROOT, Limits(), 3, "1", gateways=gateways, tls=True)}
    servers = listeners(files["nginx/nginx.conf"])
    assert servers.keys() == {"4000", "4443", "4001", "8081"}
    assert {port for port, text in servers.items() if "location = /console" in text} == {"4001"}
    assert {port for port, text in servers.items() if "location = /usage" in text} == {"4000", "4443"}, "the twin"
    assert ("proxy_pass http://gateway/console/state;" in servers["4001"]) is bool(gateways)


def test_nginx_passes_exactly_what_a_gateway_process_answers() -> None:
    assert {route.path for route in CONSOLE_ROUTES} == {*CONSOLE_PAGE, *CONSOLE}
    assert {route.path for route in OWN_ROUTES} == {*PAGE, USAGE}
