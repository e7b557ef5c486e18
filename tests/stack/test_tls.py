"""The whole stack with TLS=self-signed: every kind of client over HTTPS, and a new certificate under traffic.

`make test-tls`; without TOLLGATE_LONG_TESTS=1 the stack under test serves HTTP alone (the edge's part is in
tests/contract/nginx/test_tls.py).
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from datetime import datetime
from pathlib import Path

import anthropic
import httpx
import httpx2
import openai
import pytest

from tests.support.claude_code import ClaudeCode, seen_by_nginx
from tests.support.eventually import eventually
from tests.support.stack import Stack
from tests.support.traffic import Traffic

pytestmark = pytest.mark.skipif(os.environ.get("TOLLGATE_LONG_TESTS") != "1", reason="make test-tls")

NAME = "localhost"


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    """Turn on TLS with a deploy, as an operator does. Returns the encrypted address."""
    settings = stack.home / ".env"
    settings.write_text(settings.read_text() + "TLS=self-signed\nTLS_BIND=127.0.0.1\nTLS_PORT=0\n")
    stack.cli("deploy")
    return address(stack)


def address(stack: Stack) -> str:
    return f"https://{NAME}:{stack.compose.address('nginx', 4443)[1]}"


def trusted(stack: Stack, directory: Path) -> Path:
    """The certificate that an operator gives to clients. It contains no key."""
    file = directory / "gateway.crt"
    file.write_text(stack.cli("certificate", "show", "--pem").stdout)
    assert "PRIVATE KEY" not in file.read_text()
    return file


def client(stack: Stack, file: Path) -> httpx.Client:
    return httpx.Client(verify=ssl.create_default_context(cafile=str(file)), timeout=60, trust_env=False)


BODY = {"model": "test-model", "max_tokens": 50, "messages": [{"role": "user", "content": "Say hello."}]}


def test_curl_uses_http_2_and_gets_hsts(stack: Stack, url: str, tmp_path: Path) -> None:
    command = ["curl", "-sS", "-D", "-", "--cacert", str(trusted(stack, tmp_path)), "-w", "\n%{http_version}"]
    command += ["-H", f"Authorization: Bearer {stack.key('contractor')}", "-H", "Content-Type: application/json"]
    done = subprocess.run(
        [*command, "-d", json.dumps(BODY), f"{url}/v1/messages"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "2"
    assert "strict-transport-security: max-age=31536000" in done.stdout.lower()
    assert '"type":"message"' in done.stdout.replace('": "', '":"')


def test_twin_curl_without_the_certificate_refuses(url: str) -> None:
    done = subprocess.run(["curl", "-sS", f"{url}/gateway/health"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 60, done.stderr


def test_anthropic_s_sdk(stack: Stack, url: str, tmp_path: Path) -> None:
    context = ssl.create_default_context(cafile=str(trusted(stack, tmp_path)))
    http = httpx2.Client(verify=context, timeout=60, trust_env=False)  # the SDK's own; it takes no other
    with anthropic.Anthropic(
        base_url=url, auth_token=stack.key("contractor"), api_key=None, http_client=http
    ) as claude:
        whole = claude.messages.create(
            model="test-model", max_tokens=50, messages=[{"role": "user", "content": "hello"}]
        )
        assert whole.usage.output_tokens > 0
        with claude.messages.stream(
            model="test-model", max_tokens=50, messages=[{"role": "user", "content": "hello"}]
        ) as stream:
            assert "hello" in stream.get_final_text()


def test_openai_s_sdk(stack: Stack, url: str, tmp_path: Path) -> None:
    http = client(stack, trusted(stack, tmp_path))
    with openai.OpenAI(base_url=f"{url}/v1", api_key=stack.key("contractor"), http_client=http) as gpt:
        assert "test-model" in [model.id for model in gpt.models.list()]
        answer = gpt.chat.completions.create(model="test-model", messages=[{"role": "user", "content": "hello"}])
        assert "hello" in str(answer.choices[0].message.content)


def test_claude_code(stack: Stack, url: str, tmp_path: Path) -> None:
    settings = {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": stack.key("developer"),
        "ANTHROPIC_MODEL": "test-model",
        "NODE_EXTRA_CA_CERTS": str(trusted(stack, tmp_path)),
    }
    claude = ClaudeCode(stack, tmp_path, settings)
    done = claude.ask("Hello")
    assert done.returncode == 0, done.err
    assert "Hello" in done.out
    ports = {line["port"] for line in seen_by_nginx(stack, session=done.session, uri="/v1/messages")}
    assert ports == {"4443"}


def test_clients_do_not_notice_a_new_certificate(stack: Stack, url: str) -> None:
    before = json.loads(stack.cli("certificate", "show", "--json").stdout)
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE  # two certificates in one run
    traffic = Traffic(url, stack.key("contractor"), clients=32, shortest=10, longest=40, verify=anybody)
    with traffic.running():
        eventually(lambda: traffic.answers > 10, within=60)
        (stack.home / "secrets" / "tls_self_signed.pem").unlink()  # the next command makes another
        stack.cli("certificate", "reload")
        reached = traffic.answers
        eventually(lambda: traffic.answers > reached + 10, within=60)
    after = json.loads(stack.cli("certificate", "show", "--json").stdout)
    assert after["sha256"] != before["sha256"]
    assert traffic.failures == []
    assert traffic.streams > 0 < traffic.answers


def test_prometheus_has_the_end_of_the_certificate(stack: Stack, url: str) -> None:
    shown = json.loads(stack.cli("certificate", "show", "--json").stdout)
    end = datetime.fromisoformat(shown["not_after"]).timestamp()

    def told() -> bool:
        query = {"query": "tollgate_certificate_expiry_timestamp_seconds"}
        found = httpx.get(f"{stack.prometheus_url}/api/v1/query", params=query, timeout=20, trust_env=False).json()
        return [float(row["value"][1]) for row in found["data"]["result"]] == [end]

    eventually(told, within=120, every=1)


def test_the_doctor_reports_no_problem(stack: Stack, url: str) -> None:
    done = stack.cli("doctor", "--json", check=False)
    found = json.loads(done.stdout)
    assert [line for line in found if line["level"] == "FAIL"] == []
    assert done.returncode == 0
    assert next(line["level"] for line in found if line["check"] == "certificate") == "PASS"


def test_with_tls_nginx_publishes_only_one_more_port(stack: Stack, url: str) -> None:
    ports = json.loads(stack.docker("inspect", next(c.id for c in stack.compose.containers() if c.service == "nginx")))
    published = {port for port, to in ports[0]["NetworkSettings"]["Ports"].items() if to}
    assert published == {"4000/tcp", "4001/tcp", "4443/tcp"}
