"""The containers of `make bench-gateway`: a replica and a gateway process, and beside them what they are compared with.

All of them call the same upstream (upstream.py). LiteLLM alone has its master key, no database, no Redis and no hook.
Portkey's gateway comes from npm and passes chat on, without keys and limits. Both run in the image of the replicas,
which has Python and Node.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from testcontainers.core.container import DockerContainer

from tests.bench.load import request
from tests.contract.litellm.gateway import Gateway, gateway_for_tests, running_gateway
from tests.contract.litellm.tenants import Tenants, key_of, wanted
from tests.support import plain
from tests.support.engine import on_loopback
from tests.support.eventually import eventually
from tests.support.images import image

LITELLM, DIRECT, UPSTREAM, ALONE, PORTKEY = "litellm-1", "gateway-1", "upstream", "litellm-alone", "portkey"
PORTS = {LITELLM: 4000, DIRECT: 4100, UPSTREAM: 8090, ALONE: 4000, PORTKEY: 8787}
UPSTREAM_URL = f"http://{UPSTREAM}:{PORTS[UPSTREAM]}/v1"
PORTKEY_PACKAGE = "@portkey-ai/gateway@1.15.2"
# Of the upstream's models. `native` also has a Messages API; LiteLLM serves `through-litellm` on the direct route too.
NATIVE, CHAT, PACED, THROUGH = "native", "chat-only", "paced", "through-litellm"
# Limits of every kind that no run reaches.
TENANT = f"""
tenant: {{id: payer}}
budget: {{daily_limit: 100000, monthly_limit: 1000000, per_model: {{{CHAT}: {{daily_limit: 100000}}}}}}
rate_limits:
  requests_per_minute: 1000000
  requests_per_hour: 10000000
  requests_per_day: 10000000
  tokens_per_minute: 1000000000
  max_parallel_requests: 2000
"""


def models() -> str:
    """The models of the tests, and those of the bench's upstream."""
    gateway = yaml.safe_load(gateway_for_tests())
    more_of: dict[str, dict[str, Any]] = {NATIVE: {"native_messages": True}, THROUGH: {"route": "litellm"}}
    for name in (NATIVE, CHAT, PACED, THROUGH):
        target = {"model": f"hosted_vllm/{name}", "api_base": UPSTREAM_URL, "api_key": "none", **more_of.get(name, {})}
        gateway["models"][name] = {"targets": [target], "price": gateway["models"]["test-model"]["price"]}
    return str(yaml.safe_dump(gateway, sort_keys=False))


class NotAvailableError(Exception):
    """This machine cannot run one of the servers of a comparison."""


@dataclass
class Rig:
    """`scratch` is a directory of this run."""

    gateway: Gateway
    key: str = field(repr=False)
    scratch: Path
    containers: dict[str, DockerContainer] = field(default_factory=dict, repr=False)
    # LiteLLM does not start without a master key.
    alone_key: str = field(default_factory=lambda: f"sk-{secrets.token_hex(16)}", repr=False)

    def port(self, name: str) -> int:
        return int(self.container(name).get_exposed_port(PORTS[name]))

    def container(self, name: str) -> DockerContainer:
        return self.containers.get(name) or self.gateway.containers[name]

    def processor_s(self, name: str) -> float:
        """Seconds of processor time that the container has used."""
        stats = self.container(name).get_wrapped_container().stats(stream=False, one_shot=True)
        return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9

    def resident_mib(self, name: str) -> float:
        done = self.container(name).get_wrapped_container().exec_run(["cat", "/proc/1/status"])
        [line] = [line for line in done.output.decode().splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1024

    def headers(self, name: str) -> dict[str, str]:
        if name == PORTKEY:
            host = {"x-portkey-custom-host": UPSTREAM_URL}
            return {**host, "x-portkey-provider": "openai", "authorization": "Bearer none"}
        if name == ALONE:
            return {"authorization": f"Bearer {self.alone_key}"}
        return {"x-api-key": self.key, "anthropic-version": "2023-06-01"}

    def sent(self, name: str, path: str, body: Mapping[str, Any]) -> bytes:
        """The whole request to the container `name`."""
        return request(path, json.dumps(body).encode(), self.headers(name))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """LiteLLM as its own command starts it."""
        directory = self.scratch / "alone"
        directory.mkdir()
        parameters = {"model": f"hosted_vllm/{CHAT}", "api_base": UPSTREAM_URL, "api_key": "none"}
        entry = {"model_name": CHAT, "litellm_params": parameters}
        (directory / "config.yaml").write_text(yaml.safe_dump({"model_list": [entry]}))
        container = DockerContainer(image("LITELLM_IMAGE"))
        container.with_envs(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_MASTER_KEY=self.alone_key)
        container.with_volume_mapping(str(directory), "/etc/alone", "ro")
        container.with_kwargs(entrypoint=["litellm", "--config", "/etc/alone/config.yaml", "--port", str(PORTS[ALONE])])
        with self._running(ALONE, container, "/health/liveliness"):
            yield

    @contextmanager
    def portkey(self) -> Iterator[None]:
        """Raises NotAvailableError if npm cannot install it."""
        directory = self.scratch / "portkey"
        directory.mkdir()
        npm = shutil.which("npm")
        if npm is None:
            raise NotAvailableError("npm is not installed")
        command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(directory)]
        done = subprocess.run([*command, PORTKEY_PACKAGE], capture_output=True, text=True, check=False, timeout=180)
        if done.returncode:
            raise NotAvailableError(f"npm does not install {PORTKEY_PACKAGE}: {done.stderr[-300:]}")
        container = DockerContainer(image("LITELLM_IMAGE")).with_volume_mapping(str(directory), "/opt/portkey", "ro")
        program = "/opt/portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
        # Without `custom host` in this list it refuses addresses that are not public.
        container.with_env("TRUSTED_CUSTOM_HOSTS", f"localhost,127.0.0.1,{UPSTREAM}")
        container.with_kwargs(entrypoint=["node", program, "--headless", f"--port={PORTS[PORTKEY]}"])
        with self._running(PORTKEY, container, "/"):
            yield

    @contextmanager
    def _running(self, name: str, container: DockerContainer, path: str) -> Iterator[None]:
        on_loopback(container, PORTS[name])
        network = self.gateway.network
        if network is None:
            raise AssertionError("this gateway has no network of its own")
        with container.with_network(network).with_network_aliases(name):
            self.containers[name] = container
            try:
                eventually(lambda: self._answers(name, path), within=300, every=0.2)
                yield
            finally:
                del self.containers[name]

    def _answers(self, name: str, path: str) -> bool:
        try:
            return plain.get(f"http://127.0.0.1:{self.port(name)}{path}", timeout=5, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def start_s(self, name: str) -> float:
        """Seconds from the start of a stopped container until it is ready. It may have another port afterwards."""
        container = self.container(name).get_wrapped_container()
        container.stop(timeout=30)
        began = time.perf_counter()
        container.start()
        eventually(lambda: self._answers(name, "/health/readiness"), within=120, every=0.02)
        return time.perf_counter() - began


@contextmanager
def running_rig(scratch: Path) -> Iterator[Rig]:
    with running_gateway(scratch, gateway_yaml=models(), processes=1) as gateway:
        Tenants(gateway).apply(wanted(TENANT))
        rig = Rig(gateway, key_of("payer").reveal(), scratch)
        upstream = DockerContainer(image("TOLLGATE_IMAGE"))
        upstream.with_volume_mapping(str(Path(__file__).with_name("upstream.py")), "/opt/upstream.py", "ro")
        upstream.with_command(["python", "/opt/upstream.py", str(PORTS[UPSTREAM])])
        with rig._running(UPSTREAM, upstream, "/"):
            yield rig
