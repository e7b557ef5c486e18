"""`.env` as Settings: a handful of choices about this machine, and the provider keys. Every name is optional.

Nothing is read from or written to the process environment, and no `${VAR}` is expanded: what stands there is meant.
"""

from __future__ import annotations

import io
import ipaddress
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal
from urllib.parse import urlsplit

from dotenv.parser import Binding, parse_stream
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PrivateAttr

from tollgate.config import schedule
from tollgate.config.secret import Secret
from tollgate.config.source import Document
from tollgate.config.text import check_text, read
from tollgate.config.tls import LETS_ENCRYPT, directory_address, mail_address, tls_problems
from tollgate.config.validate import Input, did_you_mean, validate
from tollgate.errors import InputError, Problem

# Names of provider keys that the shipped catalogue uses; any other NAME_API_KEY is taken as a provider key too.
KNOWN_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY")
_KEY_NAME = re.compile(r"[A-Z][A-Z0-9_]*_API_KEY|AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)")
_PORTS = ("GATEWAY_PORT", "ADMIN_PORT", "GRAFANA_PORT", "PROMETHEUS_PORT")
_HOST = re.compile(r"(?:\*\.)?(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*")


def _address(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise ValueError(
            f"expected an IPv4 address, found {value[:60]!r}\n0.0.0.0 for everyone, 127.0.0.1 for this machine"
        ) from None


def _mirror(value: str) -> str | None:
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError(f"expected an http:// or https:// address without credentials, found {value[:60]!r}")
    return value


def _recipients(value: str) -> str:
    if value.startswith("AGE-SECRET-KEY"):
        raise ValueError("expected a public key, found a secret one\nits public key starts with age1")
    for word in filter(None, map(str.strip, value.split(","))):
        if not re.fullmatch(r"age1[0-9a-z]+|ssh-(ed25519|rsa) \S+( .*)?", word):
            raise ValueError(f"expected age1... or ssh-ed25519 ..., found {word[:60]!r}\nas age-keygen prints it")
    return value


def _proxy(value: str) -> str | None:
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme != "http" or not parts.hostname or parts.username or parts.path not in ("", "/"):
        hint = "HTTPS goes through it by CONNECT, encrypted end to end; credentials would show in `docker inspect`"
        found = "***" if "@" in value else repr(value[:60])
        raise ValueError(f"expected http://HOST:PORT without credentials, found {found}\n{hint}")
    return value.rstrip("/")


def _hosts(value: str) -> str:
    names = [name.strip().lower() for name in value.split(",")] if value else []
    for name in names:
        if not _HOST.fullmatch(name) or len(name) > 253:
            raise ValueError(
                f"expected names or addresses separated by commas, found {name[:60]!r}\nno port, no scheme"
            )
    return ",".join(names)


def _path(value: object) -> object:
    return (Path(value) if value else None) if isinstance(value, str) else value


Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(Input):
    """What `.env` says; a field is named as the variable is, in lower case. A port of 0 lets Docker choose one."""

    model_config = ConfigDict(strict=False, alias_generator=str.upper)  # everything in .env is text

    compose_project_name: str = Field(
        default="tollgate",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        description="lower-case letters, digits, - and _: Docker names containers after it",
    )
    gateway_bind: Annotated[str, AfterValidator(_address)] = "0.0.0.0"  # noqa: S104  the one door meant to be public
    gateway_port: Port = 4000
    admin_port: Port = 4001
    grafana_port: Port = 3000
    prometheus_port: Port = 9090
    replicas: int = Field(default=3, ge=1, le=32, description="how many LiteLLM processes share the load")
    litellm_version: str = Field(default="", pattern=r"^([0-9]+(\.[0-9]+)+)?$", description="`make upgrade` sets it")
    image_source: Literal["auto", "registry", "local"] = Field(
        default="auto", description="auto pulls, and builds locally where no registry can be reached"
    )
    tls: Literal["off", "files", "acme", "self-signed"] = Field(
        default="off", description="files: your own certificate; acme: fetched by itself; self-signed: one that we make"
    )
    tls_bind: Annotated[str, AfterValidator(_address)] = "0.0.0.0"  # noqa: S104  the same door, encrypted
    tls_port: Port = 443
    tls_certificate: Annotated[Path | None, BeforeValidator(_path)] = None
    tls_key: Annotated[Path | None, BeforeValidator(_path)] = None
    tls_http_port: Port = 80
    acme_email: Annotated[str, AfterValidator(mail_address)] = ""
    acme_directory: Annotated[str, AfterValidator(directory_address)] = LETS_ENCRYPT
    acme_ca_bundle: Annotated[Path | None, BeforeValidator(_path)] = None
    gateway_hosts: Annotated[str, AfterValidator(_hosts)] = ""
    egress_proxy: Annotated[str | None, BeforeValidator(_proxy)] = None
    ca_bundle: Annotated[Path | None, BeforeValidator(_path)] = None
    debian_mirror: Annotated[str | None, BeforeValidator(_mirror)] = None
    backup_age_recipient: Annotated[str, AfterValidator(_recipients)] = ""
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
        """The names clients call the gateway by."""
        return tuple(self.gateway_hosts.split(",")) if self.gateway_hosts else ()

    def with_credentials(self, credentials: Mapping[str, Secret]) -> Settings:
        """The same with credentials that are no line of .env."""
        settings = self.model_copy()
        settings._provider_keys = MappingProxyType({**self._provider_keys, **credentials})
        return settings


_NAMES = tuple(str(field.alias) for field in Settings.model_fields.values())


def load(file: Path, overrides: Mapping[str, str] | None = None) -> Settings:
    """Read `.env`. `overrides`, such as what the caller took from the process environment, win; other names in it
    are ignored.
    """
    return parse(read(file), file, overrides)


def parse(text: str, file: Path, overrides: Mapping[str, str] | None = None) -> Settings:
    """Raises InputError with every problem at once; no message holds a key."""
    values, lines, problems = _bindings(text, file)
    for name, value in (overrides or {}).items():
        if name in _NAMES or _KEY_NAME.fullmatch(name):
            values[name] = value
    keys = {name: values.pop(name) for name in list(values) if _KEY_NAME.fullmatch(name)}
    document = Document(file, dict(values), {(name,): line for name, line in lines.items()})
    problems += _key_problems(keys, document)
    problems += _shell_problems(values, document)
    try:
        settings = validate(Settings, document)
    except InputError as error:
        raise InputError([*problems, *map(_explain, error.problems)]) from None
    problems += _port_problems(settings, document)
    for name, message, hint in tls_problems(settings):
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
    """dotenv counts the blank lines before a binding as part of it."""
    text = binding.original.string
    blank = text[: len(text) - len(text.lstrip())]
    return binding.original.line + blank.count("\n")


def _key_problems(keys: Mapping[str, str], document: Document) -> Iterable[Problem]:
    for name, value in keys.items():
        close = did_you_mean(name, KNOWN_KEYS)
        if (
            name not in KNOWN_KEYS
            and close.startswith("did")
            and close[13:-1] not in keys
            and _one_slip(name, close[13:-1])
        ):
            yield document.problem((name,), "unknown provider key", close)
        if re.search(r"\s", value) or not value.isascii():
            yield document.problem((name,), "expected a key without spaces, found ***", "paste the key alone")


def _one_slip(name: str, known: str) -> bool:
    """Whether the two differ by about one typing slip: GROQ_API_KEY is another provider, ANTROPIC_API_KEY is not."""
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
    names = [*_PORTS, *(["TLS_PORT"] if settings.tls != "off" else [])]
    names += ["TLS_HTTP_PORT"] if settings.tls == "acme" else []
    chosen = [(name, getattr(settings, name.lower())) for name in names]
    for (first, port), (second, other) in itertools.combinations(chosen, 2):
        if port == other and port:
            yield document.problem((second,), f"port {port} is {first}'s already", "give each its own port")


def _explain(problem: Problem) -> Problem:
    """An unknown name in .env is often a secret of the kit that is kept elsewhere."""
    if problem.message == "unknown key" and re.search(r"KEY|PASSWORD|SECRET|TOKEN|DATABASE_URL", problem.path):
        hint = "passwords and LiteLLM's own keys are generated into secrets/; only NAME_API_KEY of providers stand here"
        return Problem(problem.file, problem.line, problem.path, problem.message, hint)
    return problem
