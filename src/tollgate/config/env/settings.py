"""`.env` as Settings: choices about this machine, and the provider keys. Every name is optional.

Nothing is read from or written to the process environment, and no `${VAR}` is expanded: values are literal.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from dotenv.parser import Binding, parse_stream
from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr

from tollgate.config.endpoint import Endpoint
from tollgate.config.env import schedule
from tollgate.config.env import values as env_values
from tollgate.config.env.alerts import AlertSettings, alert_problems
from tollgate.config.env.tls import LETS_ENCRYPT, directory_address, mail_address, tls_problems
from tollgate.config.secret import Secret
from tollgate.config.validate import closest, validate
from tollgate.config.yaml.document import Document
from tollgate.config.yaml.text import check_text, read
from tollgate.errors import InputError, Problem

# The provider keys of the shipped catalogue. Any other NAME_API_KEY also counts as a provider key.
KNOWN_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY")
_KEY_NAME = re.compile(r"[A-Z][A-Z0-9_]*_API_KEY|AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)")
_PORTS = ("GATEWAY_PORT", "ADMIN_PORT", "PROMETHEUS_PORT")


# With GATEWAYS empty: one process for each core, at most this many. LiteLLM, Postgres and Redis need cores too.
MOST_DEFAULT_GATEWAYS = 4
_RECORDED = "a deploy writes this line; leave it empty and run `make deploy`"
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(AlertSettings):
    """The settings in `.env`. A field has the variable's name in lower case. For a port of 0 Docker chooses one."""

    compose_project_name: str = Field(
        default="tollgate",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        description="lower-case letters, digits, - and _: Docker names containers after it",
    )
    gateway_bind: Annotated[str, AfterValidator(env_values.address)] = "0.0.0.0"  # noqa: S104  the one door meant to be public
    gateway_port: Port = 4000
    admin_port: Port = 4001
    grafana: Literal["on", "off"] = Field(default="on", description="off leaves out Grafana, Loki and Alloy")
    grafana_port: Port = 3000
    prometheus_port: Port = 9090
    replicas: int = Field(default=3, ge=1, le=32, description="how many LiteLLM processes share the load")
    # `parse` fills it in if it is empty, because the default depends on the machine.
    gateways: int = Field(
        ge=0,
        le=16,
        description="how many gateway processes serve models directly; 0: LiteLLM serves all; empty: one for each core",
    )
    bypass_litellm_enabled: bool = Field(
        default=True, description="false: the gateway processes hand every request to LiteLLM"
    )
    openrouter_api_base: Endpoint = "https://openrouter.ai/api/v1"
    openrouter_direct_timeout: float = Field(
        default=120, gt=0, le=3600, description="seconds that OpenRouter may be silent, on the direct route"
    )
    openrouter_direct_retries: int = Field(
        default=3, ge=0, le=10, description="how often a call to OpenRouter that sent nothing is tried again"
    )
    litellm_version: str = Field(default="", pattern=r"^([0-9]+(\.[0-9]+)+)?$", description="`make upgrade` sets it")
    image_source: Annotated[Literal["local", "registry"], BeforeValidator(env_values.image_source)] = Field(
        default="local", description="local builds images from Debian packages; registry pulls official ones"
    )
    postgres_source: Literal["", "local", "registry"] = Field(default="", description=_RECORDED)
    redis_source: Literal["", "local", "registry"] = Field(default="", description=_RECORDED)
    tls: Literal["off", "files", "acme", "self-signed"] = Field(
        default="off",
        description="files: your own certificate; acme: fetched automatically; self-signed: made by the deploy",
    )
    tls_bind: Annotated[str, AfterValidator(env_values.address)] = "0.0.0.0"  # noqa: S104  the same door, encrypted
    tls_port: Port = 443
    tls_certificate: Annotated[Path | None, BeforeValidator(env_values.path)] = None
    tls_key: Annotated[Path | None, BeforeValidator(env_values.path)] = None
    tls_http_port: Port = 80
    acme_email: Annotated[str, AfterValidator(mail_address)] = ""
    acme_directory: Annotated[str, AfterValidator(directory_address)] = LETS_ENCRYPT
    acme_ca_bundle: Annotated[Path | None, BeforeValidator(env_values.path)] = None
    gateway_hosts: Annotated[str, AfterValidator(env_values.hosts)] = ""
    egress_proxy: Annotated[str | None, BeforeValidator(env_values.proxy)] = None
    ca_bundle: Annotated[Path | None, BeforeValidator(env_values.path)] = None
    debian_mirror: Annotated[str | None, BeforeValidator(env_values.mirror)] = None
    backup_age_recipient: Annotated[str, AfterValidator(env_values.recipients)] = ""
    backup_schedule: Annotated[str, AfterValidator(schedule.checked)] = ""
    backup_keep: int = Field(default=14, ge=1, le=10_000, description="how many archives the schedule keeps")
    backup_keep_days: int = Field(default=14, ge=1, le=3650, description="for how many days the schedule keeps them")
    _provider_keys: Mapping[str, Secret] = PrivateAttr(default_factory=dict)

    @property
    def provider_keys(self) -> Mapping[str, Secret]:
        """The provider keys that are set, by the name of their variable."""
        return self._provider_keys

    @property
    def host_names(self) -> tuple[str, ...]:
        """The host names that clients use."""
        return tuple(self.gateway_hosts.split(",")) if self.gateway_hosts else ()

    def with_credentials(self, credentials: Mapping[str, Secret]) -> Settings:
        """A copy with further credentials, which are not lines of .env."""
        settings = self.model_copy()
        settings._provider_keys = MappingProxyType({**self._provider_keys, **credentials})
        return settings


_NAMES = tuple(str(field.alias) for field in Settings.model_fields.values())


def load(file: Path, overrides: Mapping[str, str] | None = None, cores: int = 2) -> Settings:
    """Read `.env`. `overrides` win, for example values from the process environment. Unknown names in them are
    ignored. `cores` are those of the machine that runs the stack.
    """
    return parse(read(file), file, overrides, cores)


def parse(text: str, file: Path, overrides: Mapping[str, str] | None = None, cores: int = 2) -> Settings:
    """Raises InputError with every problem at once; no message holds a key."""
    values, lines, problems = _bindings(text, file)
    for name, value in (overrides or {}).items():
        if name in _NAMES or _KEY_NAME.fullmatch(name):
            values[name] = value
    if not values.get("GATEWAYS"):
        values["GATEWAYS"] = str(min(cores, MOST_DEFAULT_GATEWAYS))
    keys = {name: values.pop(name) for name in list(values) if _KEY_NAME.fullmatch(name)}
    document = Document(file, dict(values), {(name,): line for name, line in lines.items()})
    problems += _key_problems(keys, document)
    problems += _shell_problems(values, document)
    try:
        settings = validate(Settings, document, _hint_of_a_secret)
    except InputError as error:
        raise InputError([*problems, *error.problems]) from None
    problems += _port_problems(settings, document)
    for name, message, hint in (*tls_problems(settings), *alert_problems(settings)):
        problems.append(document.problem((name,), message, hint))
    if problems:
        raise InputError(problems)
    settings._provider_keys = MappingProxyType({name: Secret(value) for name, value in sorted(keys.items()) if value})
    return settings


def missing_keys(env: str, example: str) -> list[str]:
    """Names that `.env.example` has and this `.env` lacks, in the example's order; both given as text."""
    have = set(_names(env))
    return [name for name in dict.fromkeys(_names(example)) if name not in have]


def _names(text: str) -> Iterable[str]:
    return (binding.key for binding in parse_stream(io.StringIO(text)) if binding.key and not binding.error)


def _bindings(text: str, file: Path) -> tuple[dict[str, str], dict[str, int], list[Problem]]:
    check_text(text, file)
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    for binding in parse_stream(io.StringIO(text)):
        line = _line(binding)
        if binding.error or (binding.key and binding.value is None):
            problems.append(Problem(file, line, "", "expected NAME=value", "one setting a line; # starts a comment"))
        elif binding.key and binding.key in values:
            problems.append(Problem(file, line, binding.key, f"set twice, first on line {lines[binding.key]}"))
        elif binding.key:
            values[binding.key], lines[binding.key] = binding.value or "", line
    return values, lines, problems


def _line(binding: Binding) -> int:
    """The first line of the binding; dotenv counts blank lines before it as part of it."""
    text = binding.original.string
    blank = text[: len(text) - len(text.lstrip())]
    return binding.original.line + blank.count("\n")


def _key_problems(keys: Mapping[str, str], document: Document) -> Iterable[Problem]:
    for name, value in keys.items():
        meant = closest(name, KNOWN_KEYS)
        if name not in KNOWN_KEYS and meant and meant not in keys and _one_slip(name, meant):
            yield document.problem((name,), "unknown provider key", f"did you mean {meant}?")
        if re.search(r"\s", value) or not value.isascii():
            yield document.problem((name,), "expected a key without spaces, found ***", "paste the key alone")


def _one_slip(name: str, known: str) -> bool:
    """Whether they differ by one typing mistake: ANTROPIC_API_KEY is one, GROQ_API_KEY is another provider."""
    stems = name.removesuffix("_API_KEY"), known.removesuffix("_API_KEY")
    return (
        abs(len(stems[0]) - len(stems[1])) <= 1
        and len(set(stems[0]) ^ set(stems[1])) <= 2
        and stems[0][0] == stems[1][0]
    )


def _shell_problems(values: Mapping[str, str], document: Document) -> Iterable[Problem]:
    for name, value in values.items():
        if "${" in value:
            yield document.problem((name,), "${...} is not expanded here", "write the value itself")


def _port_problems(settings: Settings, document: Document) -> Iterable[Problem]:
    off = {"GRAFANA_PORT": settings.grafana == "off", "TLS_PORT": settings.tls == "off"}
    off["TLS_HTTP_PORT"] = settings.tls != "acme"
    chosen = [(name, getattr(settings, name.lower())) for name in (*_PORTS, *off) if not off.get(name)]
    for (first, port), (second, other) in itertools.combinations(chosen, 2):
        if port == other and port:
            yield document.problem((second,), f"port {port} is already used by {first}", "give each its own port")


def _hint_of_a_secret(name: str) -> str:
    """The hint for an unknown name that looks like a secret of the kit, which belongs in secrets/."""
    if re.search(r"KEY|PASSWORD|SECRET|TOKEN|DATABASE_URL", name):
        return "secrets/ has passwords and LiteLLM's own keys, and .env NAME_API_KEY of providers and ALERT_ settings"
    return ""
