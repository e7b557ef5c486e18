"""Real LiteLLM replicas with PostgreSQL, Redis and the embedded provider, configured as a deployment renders it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg
import yaml
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tests.support import plain
from tests.support.engine import on_loopback
from tests.support.eventually import eventually
from tests.support.images import image
from tollgate.config.env.settings import parse as parse_env
from tollgate.config.gateway.load import load as load_gateway
from tollgate.config.secret import Secret
from tollgate.litellm.client import Client
from tollgate.render.gateway import GATEWAY_ENVIRONMENT, render_gateway, render_replica_names
from tollgate.render.litellm import render_litellm
from tollgate.render.output import write
from tollgate.render.stack import REPLICA_ENVIRONMENT, render_code
from tollgate.stack.containers.drain import prepare

METRICS_KEY = "metrics-key-of-the-tests"
EVERYWHERE = "0.0.0.0"  # noqa: S104  inside a container; only 127.0.0.1 is published
ROOT = Path(__file__).resolve().parents[3]
REDIS = (
    "import os, sys, redis; r = redis.Redis('redis', password=os.environ['REDIS_PASSWORD'], decode_responses=True);"
    "print(r.execute_command(*sys.argv[1:]))"
)


@dataclass
class Gateway:
    """`client` is for administration, `ask` is a tenant's call, `sql` reads the database directly."""

    url: str
    master_key: Secret = field(repr=False)
    database: dict[str, Any] = field(repr=False)
    # One address a replica; `url` is the first.
    urls: list[str] = field(default_factory=list)
    containers: dict[str, DockerContainer] = field(default_factory=dict, repr=False)
    # One address for each gateway process.
    direct: list[str] = field(default_factory=list)
    # As var/rendered.
    directory: Path = Path()
    # For containers that a test adds.
    network: Network | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.client = Client(self.url, self.master_key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.__exit__(None, None, None)

    def ask(
        self,
        key: Secret,
        path: str = "/v1/messages",
        model: str = "test-model",
        text: str = "hello",
        replica: int = 1,
        **more: Any,
    ) -> httpx.Response:
        body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": text}], **more}
        url = self.urls[replica - 1] if self.urls else self.url
        return plain.post(url + path, json=body, headers={"x-api-key": key.reveal()}, timeout=60, trust_env=False)

    def get(self, key: Secret, path: str) -> httpx.Response:
        return plain.get(self.url + path, headers={"x-api-key": key.reveal()}, timeout=60)

    def redis(self, *words: str) -> str:
        """One command, through the replica, which has the password; its answer as Python prints it."""
        done = self.containers["litellm-1"].get_wrapped_container().exec_run(["python", "-c", REDIS, *words])
        assert done.exit_code == 0, done.output
        return str(done.output.decode().strip())

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(**self.database, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[call-overload, no-any-return]


@contextmanager
def running_gateway(
    directory: Path, replicas: int = 1, gateway_yaml: str = "", processes: int = 0
) -> Iterator[Gateway]:
    """Start everything with the files in `directory`, and always stop it at the end.

    `gateway_yaml` stands in for config/gateway.yaml. `processes` gateway processes stand before the replicas.
    """
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # its image is only in a registry
    words = {name: secrets.token_hex(16) for name in ("postgres", "redis", "salt", "handover")}
    master_key = Secret(f"sk-{secrets.token_urlsafe(32)}")
    with ExitStack() as stack:
        network = stack.enter_context(Network())

        def start(container: DockerContainer, name: str) -> DockerContainer:
            return stack.enter_context(container.with_network(network).with_network_aliases(name))

        postgres = start(_postgres(directory, words["postgres"]), "postgres")
        containers = {"redis": start(_redis(words["redis"]), "redis"), "provider": start(_provider(), "provider")}
        database = {
            "host": "127.0.0.1",
            "port": int(postgres.get_exposed_port(5432)),
            "user": "litellm",
            "dbname": "litellm",
            "password": words["postgres"],
        }
        _migrate(directory, database)
        configure(directory, gateway_yaml)
        write(directory, [render_replica_names(replicas)])
        for number in range(1, replicas + 1):
            name = f"litellm-{number}"
            containers[name] = start(_replica(directory, master_key, words), name)
        for number in range(1, processes + 1):
            name = f"gateway-{number}"
            containers[name] = start(_process(directory, name, master_key, words), name)
        urls = [
            f"http://127.0.0.1:{container.get_exposed_port(4000)}"
            for name, container in containers.items()
            if name.startswith("litellm-")
        ]
        gateway = stack.enter_context(
            Gateway(urls[0], master_key, database, urls, containers, network=network, directory=directory)
        )
        for url, name in zip(urls, sorted(name for name in containers if name.startswith("litellm-")), strict=True):
            _wait_for(url, containers[name])
        for name in [name for name in containers if name.startswith("gateway-")]:
            gateway.direct.append(f"http://127.0.0.1:{containers[name].get_exposed_port(4100)}")
            _wait_for(gateway.direct[-1], containers[name])
        yield gateway


def _postgres(directory: Path, password: str) -> DockerContainer:
    file = directory / "postgres_password"
    file.write_text(password)
    file.chmod(0o444)  # read by the image's own uid; the directory above it is this user's alone
    container = on_loopback(DockerContainer(image("POSTGRES_IMAGE")), 5432)
    container.with_envs(POSTGRES_USER="litellm", POSTGRES_DB="litellm", POSTGRES_PASSWORD_FILE="/run/password")
    return container.with_volume_mapping(str(file), "/run/password", "ro")


def _redis(password: str) -> DockerContainer:
    return DockerContainer(image("REDIS_IMAGE")).with_command(["redis-server", "--requirepass", password])


def _provider() -> DockerContainer:
    command = ["python", "-m", "tollgate.services.provider", "--host", EVERYWHERE, "--port", "8080"]
    command += ["--under-test", "yes"]
    return on_loopback(DockerContainer(image("TOLLGATE_IMAGE")), 8080).with_command(command)


def _migrate(directory: Path, database: dict[str, Any]) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "src"),
        "POSTGRES_HOST": database["host"],
        "POSTGRES_PORT": str(database["port"]),
        "POSTGRES_USER": database["user"],
        "POSTGRES_DB": database["dbname"],
        "POSTGRES_PASSWORD_FILE": str(directory / "postgres_password"),
    }
    job = [sys.executable, "-m", "tollgate.migrate", "--wait-for-database", "90"]
    done = subprocess.run(job, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# The shipped models, one whose server is not there, one more name; provoked errors are not tried again.
def gateway_for_tests() -> str:
    gateway = yaml.safe_load((ROOT / "config" / "gateway.yaml").read_text())
    gateway["routing"] |= {"retries": 0, "allowed_fails": 1000}
    gateway["aliases"]["another-name"] = "test-model"
    target = {"model": "hosted_vllm/dead", "api_base": "http://provider:9/v1", "api_key": "none"}
    gateway["models"]["dead-model"] = {"targets": [target], "price": "free"}
    return yaml.safe_dump(gateway, sort_keys=False)


# Only questions that begin so are cached: other tests see nothing of it. A client cannot ask for it, a callback can.
CACHED = "Answer from the cache:"
CACHE_CALLBACK = f"""
from litellm.integrations.custom_logger import CustomLogger


class Cached(CustomLogger):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        if "{CACHED}" in str(data.get("messages")):
            data["cache"] = {{"use-cache": True, "namespace": "everybody"}}
        return data


handler = Cached()
"""
FIRST_CALLBACK = "    - tollgate.services.hooks.caller.handler\n"
CACHE = """litellm_settings:
  cache: true
  cache_params: {type: redis, host: redis, port: 6379, password: os.environ/REDIS_PASSWORD, ttl: 600, mode: default_off}
"""
# Old rows go within a minute instead of at night; what is old stays as it is rendered.
EVERY_MINUTE = ('cleanup_cron: "17 3 * * *"', 'cleanup_cron: "* * * * *"')


def configure(directory: Path, gateway_yaml: str = "") -> None:
    """Render the files of a deployment for its replicas: LiteLLM's configuration and our code."""
    file = ROOT / "config" / "gateway.yaml"
    if gateway_yaml:
        file = directory / "gateway.yaml"
        file.write_text(gateway_yaml)
    loaded, settings = load_gateway(file), parse_env("", directory / ".env")
    files = [*render_litellm(ROOT, loaded, settings), *render_gateway(loaded, settings)]
    write(directory, [*files, *render_code(ROOT)])
    (directory / "code" / "tollgate" / "services" / "hooks" / "cached_for_tests.py").write_text(CACHE_CALLBACK)
    config = directory / "litellm" / "config.yaml"
    text = config.read_text()
    if "\n  cache: true" not in text:
        text = text.replace("litellm_settings:\n", CACHE, 1)
    assert FIRST_CALLBACK in text
    text = text.replace(FIRST_CALLBACK, FIRST_CALLBACK + "    - tollgate.services.hooks.cached_for_tests.handler\n", 1)
    config.write_text(text.replace(*EVERY_MINUTE))


def _replica(directory: Path, master_key: Secret, words: dict[str, str]) -> DockerContainer:
    container = on_loopback(DockerContainer(image("LITELLM_IMAGE")), 4000)
    container.with_envs(**REPLICA_ENVIRONMENT)
    container.with_envs(
        LITELLM_MASTER_KEY=master_key.reveal(),
        LITELLM_SALT_KEY=f"sk-{words['salt']}",
        DATABASE_URL=f"postgresql://litellm:{words['postgres']}@postgres:5432/litellm",
        REDIS_PASSWORD=words["redis"],
        TOLLGATE_METRICS_KEY=METRICS_KEY,
        TOLLGATE_HANDOVER_KEY=words["handover"],
    )
    container.with_volume_mapping(str(directory / "litellm"), "/etc/litellm", "ro")
    container.with_volume_mapping(str(directory / "code"), "/opt/tollgate", "ro")
    container.with_kwargs(entrypoint=["python", "-m", "tollgate.services.replica.server"])
    return container


def _process(directory: Path, name: str, master_key: Secret, words: dict[str, str]) -> DockerContainer:
    """One gateway process, configured as compose/gateways.yaml.j2 does it."""
    secrets_dir, journal = directory / "secrets-of-gateways", directory / "journal"
    secrets_dir.mkdir(exist_ok=True)
    journal.mkdir(exist_ok=True)
    journal.chmod(0o777)
    values = {
        "master_key": master_key.reveal(),
        "postgres_password": words["postgres"],
        "redis_password": words["redis"],
        "metrics_key": METRICS_KEY,
        "handover_key": words["handover"],
        "provider_keys.json": "{}",
    }
    for file, value in values.items():
        (secrets_dir / file).write_text(value)
    container = on_loopback(DockerContainer(image("TOLLGATE_IMAGE")), 4100)
    container.with_envs(**{**GATEWAY_ENVIRONMENT, "GATEWAY_NAME": name})
    for rendered in ("gateway", "litellm"):
        container.with_volume_mapping(str(directory / rendered), f"/etc/tollgate-gateway/{rendered}", "ro")
    container.with_volume_mapping(str(secrets_dir), "/run/secrets", "ro")
    container.with_volume_mapping(str(journal), "/var/lib/tollgate-journal", "rw")
    container.with_volume_mapping(str(prepare(directory)), GATEWAY_ENVIRONMENT["GATEWAY_DRAIN"], "ro")
    return container.with_command(["python", "-m", "tollgate.services.gateway"])


def _wait_for(url: str, container: DockerContainer) -> None:
    def ready() -> bool:
        try:
            return plain.get(f"{url}/health/readiness", timeout=5, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(ready, within=400, every=0.5)
    except AssertionError as error:
        out, err = container.get_logs()
        raise AssertionError(f"{error}\n{(out + err).decode()[-4000:]}") from error
