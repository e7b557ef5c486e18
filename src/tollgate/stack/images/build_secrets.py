"""The host's CA bundle, pip and npm configuration, for a build. They never stay in an image.

BuildKit gets them as secrets, because index addresses and npm settings can contain credentials.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tollgate import disk
from tollgate.errors import TollgateError

HOST_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
SECRET_LIMIT = 500 * 1024
"""BuildKit refuses a larger secret."""
PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
PIP_ENVIRONMENT = {"timeout": "PIP_DEFAULT_TIMEOUT"}
PIP_ADDRESSES = {"index-url", "extra-index-url"}
NPM_KEYS = {"registry", "proxy", "https-proxy", "http-proxy", "noproxy", "strict-ssl", "fetch-timeout", "fetch-retries"}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class Host:
    """The environment and the files to read. Tests use others."""

    environment: Mapping[str, str]
    pip_files: tuple[Path, ...]
    npm_files: tuple[Path, ...]

    @classmethod
    def here(cls) -> Host:
        """The files of pip and npm, in the order of their documentation. Later files win."""
        home, environment = Path.home(), dict(os.environ)
        config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
        pip = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), home / ".pip/pip.conf", config / "pip/pip.conf"]
        pip += [Path(sys.prefix) / "pip.conf", Path(environment.get("PIP_CONFIG_FILE") or os.devnull)]
        npm = [Path("/etc/npmrc"), Path("/usr/etc/npmrc"), Path("/usr/local/etc/npmrc")]
        npm += [Path(environment.get("NPM_CONFIG_GLOBALCONFIG") or os.devnull)]
        npm += [Path(environment.get("NPM_CONFIG_USERCONFIG") or home / ".npmrc")]
        return cls(environment, tuple(pip), tuple(npm))


@contextmanager
def secret_files(ca_bundle: Path | None, host: Host | None = None) -> Iterator[dict[str, Path]]:
    """Secret id → file, for `docker build --secret`. The files are 0600, and exist only during the block."""
    host = host or Host.here()
    with tempfile.TemporaryDirectory(prefix="tollgate-build-") as name:
        files = {"pip_conf": Path(name) / "pip.conf", "npmrc": Path(name) / "npmrc", "ca_bundle": Path(name) / "ca.crt"}
        texts = {"pip_conf": pip_conf(host), "npmrc": npmrc(host), "ca_bundle": _certificates(ca_bundle)}
        for key, file in files.items():
            disk.create(file, texts[key], 0o600)
        yield files


def proxy_arguments(environment: Mapping[str, str]) -> list[str]:
    """Names of the proxy variables that are set. docker takes the values from the environment, not from argv, and
    BuildKit does not write these predefined arguments into the image's history."""
    return [name for upper in PROXIES for name in (upper, upper.lower()) if environment.get(name)]


def pip_conf(host: Host) -> str:
    """The host's index settings as one pip.conf. Later files win over earlier ones, and PIP_* wins over files.

    It leaves out what a container cannot reach: file:// indexes, find-links, and the host's certificate path (the
    build uses the CA bundle).
    """
    settings: dict[str, list[str]] = {}
    for file in host.pip_files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except configparser.Error as error:
            # The parser's message quotes lines of the file, which can contain a password.
            raise TollgateError(
                f"{file} is not a pip configuration: {type(error).__name__}", "see: pip config debug"
            ) from None
        for section in ("global", "install"):
            for key in PIP_KEYS:
                if value := parser.get(section, key, fallback=""):
                    settings[key] = value.split()
    for key in PIP_KEYS:
        name = PIP_ENVIRONMENT.get(key, "PIP_" + key.upper().replace("-", "_"))
        if value := host.environment.get(name, ""):
            settings[key] = value.split()
    lines = ["[global]"]
    for key, values in settings.items():
        usable = [v for v in values if v.startswith(("https://", "http://"))] if key in PIP_ADDRESSES else values
        if usable:
            lines.append(f"{key} = " + "\n    ".join(usable))
    return "\n".join(lines) + "\n"


def npmrc(host: Host) -> str:
    """The host's registry, proxy and credential lines as one .npmrc, with `${VAR}` filled in and without host paths."""
    settings: dict[str, str] = {}
    for file in host.npm_files:
        if file.is_file():
            settings.update(_npm_lines(file.read_text(encoding="utf-8").splitlines()))
    for name, value in host.environment.items():
        if name.lower().startswith("npm_config_"):
            settings[name.lower().removeprefix("npm_config_").replace("_", "-")] = value
    kept = {key: value for key, value in settings.items() if _of_the_registry(key)}
    filled = {key: re.sub(r"\$\{(\w+)\}", lambda m: host.environment.get(m[1], ""), v) for key, v in kept.items()}
    return "".join(f"{key}={value}\n" for key, value in filled.items())


def _npm_lines(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith(("#", ";")):
            yield key.strip(), value.strip()


def _of_the_registry(key: str) -> bool:
    """Whether `key` is a registry, its credentials (`//host/:_authToken`), a scope's registry or a proxy."""
    return key in NPM_KEYS or (key.startswith("//") and ":" in key and "file" not in key) or key.endswith(":registry")


def _certificates(given: Path | None) -> str:
    """The PEM bundle for the build: the given one (an error if unreadable), otherwise the host's, otherwise empty."""
    file = given or HOST_CA_BUNDLE
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        if given is None:
            return ""
        raise TollgateError(f"CA_BUNDLE={file} cannot be read: {error.strerror}", "give a readable PEM file") from None
    if given and "-----BEGIN CERTIFICATE-----" not in text:
        raise TollgateError(
            f"CA_BUNDLE={file} contains no PEM certificate", "convert it: openssl x509 -inform der -in FILE"
        )
    if len(text.encode()) > SECRET_LIMIT:
        raise TollgateError(
            f"the CA bundle {file} is larger than {SECRET_LIMIT // 1024} KiB, which BuildKit does not accept",
            "set CA_BUNDLE in .env to a file with only the certificates that the package indexes need",
        )
    return text
