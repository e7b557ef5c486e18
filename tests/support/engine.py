"""Prisma's query engine as LiteLLM's image carries it, and a PostgreSQL beside it, both in containers.

Which engine that is (the native binary, or the WebAssembly one of images/litellm) the image decides: prisma-client-py
inside it is asked which file it would start, and everything is spoken to over HTTP.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tests.support import plain
from tests.support.eventually import eventually
from tests.support.images import image

CONTRACT = Path(__file__).resolve().parents[1] / "contract" / "engine"
ENGINE_PORTS = range(4401, 4413)
ASK_CLIENT = (
    "import json, prisma.engine.utils as u; from prisma.client import BINARY_PATHS, PACKAGED_SCHEMA_PATH as s;"
    "print(json.dumps([str(u.ensure(BINARY_PATHS.query_engine)), str(s)]))"
)


def on_loopback(container: DockerContainer, *ports: int) -> DockerContainer:
    """Publish `ports` on 127.0.0.1 only, each under a number that Docker chooses.

    Engine 20.10 counts for each address of the host by itself: a container published on all of them tries the numbers
    taken here one after the other, and gives up after ten.
    """
    for port in ports:
        container.ports[str(port)] = ("127.0.0.1",)  # type: ignore[assignment]  # docker-py's form for it
    return container


@dataclass
class Postgres:
    """A PostgreSQL that the test reaches as `connect` and the engine under its network name."""

    container: DockerContainer
    password: str = field(repr=False)

    def connect(self, database: str = "contract") -> psycopg.Connection[Any]:
        port = int(self.container.get_exposed_port(5432))  # asked each time: a restart changes it
        return psycopg.connect(
            host="127.0.0.1", port=port, user="contract", password=self.password, dbname=database, autocommit=True
        )

    def url(self, database: str = "contract", **parameters: object) -> str:
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgresql://contract:{self.password}@postgres:5432/{database}?{query}"

    def answers(self) -> bool:
        try:
            with self.connect():
                return True
        except psycopg.OperationalError as error:
            raise AssertionError("postgres does not answer") from error

    def stop(self) -> None:
        self.container.get_wrapped_container().stop(timeout=20)

    def start(self) -> None:
        self.container.get_wrapped_container().start()
        eventually(self.answers, within=60)


@dataclass
class Engine:
    """A running engine process. `run` raises AssertionError with the engine's message when the answer is an error."""

    machine: EngineMachine
    port: int
    name: str

    def __post_init__(self) -> None:
        host_port = self.machine.container.get_exposed_port(self.port)
        self.http = plain.Client(base_url=f"http://127.0.0.1:{host_port}", timeout=60)

    def post(self, body: object, transaction: str | None = None) -> dict[str, Any]:
        headers = {"X-transaction-id": transaction} if transaction else {}
        answer = self.http.post("/", content=json.dumps(body), headers=headers)
        assert answer.status_code == 200, f"status {answer.status_code}: {answer.text}"
        return answer.json()  # type: ignore[no-any-return]

    def ask(self, query: str, transaction: str | None = None) -> dict[str, Any]:
        """The whole answer to one GraphQL query, errors and all."""
        return self.post({"query": query, "variables": {}, "operation_name": query.split()[0]}, transaction)

    def run(self, query: str, transaction: str | None = None) -> Any:
        answer = self.ask(query, transaction)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]["result"]

    def refusal(self, query: str, transaction: str | None = None) -> dict[str, Any]:
        """The `user_facing_error` of a query that must fail."""
        answer = self.ask(query, transaction)
        assert answer.get("errors"), f"expected an error, got {answer}"
        return answer["errors"][0]["user_facing_error"]  # type: ignore[no-any-return]

    def raw(self, sql: str, *parameters: object, transaction: str | None = None, action: str = "queryRaw") -> Any:
        """Rows as {columns, types, rows}, the form since Prisma 5.13; or the number of rows of an executeRaw."""
        arguments = f"query: {json.dumps(sql)}, parameters: {json.dumps(json.dumps(parameters))}"
        answer = self.run(f"mutation {{ result: {action}({arguments}) }}", transaction)
        return _in_columns(answer) if isinstance(answer, list) else answer

    def begin(self, timeout: int = 20_000, max_wait: int = 20_000) -> str:
        answer = self.http.post("/transaction/start", json={"timeout": timeout, "max_wait": max_wait})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def end(self, transaction: str, how: str) -> httpx.Response:
        return self.http.post(f"/transaction/{transaction}/{how}")

    def pids(self) -> tuple[int, int]:
        """(parent, engine) inside the container."""
        parent, engine = self.machine.sh(f"cat /tmp/{self.name}.pids").split()
        return int(parent), int(engine)

    def alive(self) -> bool:
        _, engine = self.pids()
        state = self.machine.sh(f"cut -d' ' -f3 /proc/{engine}/stat 2>/dev/null || echo gone").strip()
        return state not in ("gone", "", "Z")

    def log(self) -> str:
        return self.machine.sh(f"cat /tmp/{self.name}.log")

    def kill(self, signal: str) -> None:
        self.machine.sh(f"kill -{signal} {self.pids()[1]} 2>/dev/null || true")


@dataclass
class EngineMachine:
    """A container of LiteLLM's image that does nothing but let engines be started in it."""

    container: DockerContainer
    postgres: Postgres
    ports: list[int] = field(default_factory=lambda: list(ENGINE_PORTS))

    def __post_init__(self) -> None:
        self.binary, self.litellm_schema = json.loads(self.exec(["python", "-c", ASK_CLIENT]).splitlines()[-1])
        self.native = self.exec(["head", "-c", "4", self.binary]).startswith("\x7fELF")

    def exec(self, command: list[str], **keywords: Any) -> str:
        done = self.container.get_wrapped_container().exec_run(command, **keywords)
        if keywords.get("detach"):
            return ""
        text = done.output.decode(errors="replace")
        assert done.exit_code == 0, f"{command} exited {done.exit_code}: {text}"
        return str(text)

    def sh(self, script: str) -> str:
        return self.exec(["sh", "-c", script])

    @contextmanager
    def engine(
        self, schema: str = "/contract/schema.prisma", database: str = "contract", **url: object
    ) -> Iterator[Engine]:
        """Start the engine as prisma-client-py does, as the child of a process that can be killed."""
        port = self.ports.pop(0)
        engine = Engine(self, port, f"engine-{port}-{secrets.token_hex(3)}")
        command = shlex.join(
            [self.binary, "-p", str(port), "--host", "0.0.0.0", "--enable-metrics", "--enable-raw-queries"]  # noqa: S104  in a container
        )
        keep = f"{command} >/tmp/{engine.name}.log 2>&1 & echo $$ $! >/tmp/{engine.name}.pids; wait"
        environment = {
            "PRISMA_DML_PATH": schema,
            "PRISMA_CLIENT_ENGINE_TYPE": "binary",
            "PRISMA_ENGINE_PROTOCOL": "graphql",
            "RUST_LOG": "error",
            "DATABASE_URL": self.postgres.url(database, **url),
        }
        self.exec(["sh", "-c", keep], detach=True, environment=environment)
        try:
            eventually(lambda: _ready(engine), within=60)
            yield engine
        finally:
            with suppress(AssertionError):
                engine.kill("KILL")
            engine.http.close()
            self.ports.append(port)


def _in_columns(rows: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """The older form, a list of {column: {prisma__type, prisma__value}}, as {columns, types, rows}."""
    first = rows[0] if rows else {}
    types = [cell["prisma__type"] for cell in first.values()]
    return {"columns": [*first], "types": types, "rows": [[c["prisma__value"] for c in row.values()] for row in rows]}


def _ready(engine: Engine) -> bool:
    try:
        return bool(engine.http.get("/status").json() == {"status": "ok"})
    except httpx.TransportError as error:
        raise AssertionError(f"the engine does not answer: {error}") from error


@contextmanager
def machines(directory: Path) -> Iterator[EngineMachine]:
    """PostgreSQL and a container for engines on a network of their own, all removed afterwards."""
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
    password = secrets.token_urlsafe(16).replace("-", "a")
    password_file = directory / "postgres_password"
    password_file.write_text(password)
    password_file.chmod(0o444)
    directory.chmod(0o755)
    with Network() as network:
        database = on_loopback(DockerContainer(image("POSTGRES_IMAGE")), 5432)
        database.with_envs(
            POSTGRES_USER="contract", POSTGRES_DB="contract", POSTGRES_PASSWORD_FILE="/run/secrets/password"
        )
        database.with_volume_mapping(str(password_file), "/run/secrets/password", "ro")
        database.with_command(["postgres", "-c", "listen_addresses=*", "-c", "fsync=off"])
        database.with_network(network).with_network_aliases("postgres")
        with database:
            postgres = Postgres(database, password)
            eventually(postgres.answers, within=90)
            engines = on_loopback(DockerContainer(image("LITELLM_IMAGE")), *ENGINE_PORTS).with_network(network)
            engines.with_volume_mapping(str(CONTRACT), "/contract", "ro")
            engines.with_kwargs(entrypoint=["sh", "-c", "trap exit TERM; while :; do sleep 3600 & wait $!; done"])
            with engines:
                yield EngineMachine(engines, postgres)
