"""Checks the operator's files: .env, secrets/, the configuration, and who may use the test model."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tollgate.config.env import settings as env
from tollgate.config.yaml import text
from tollgate.errors import InputError
from tollgate.site import Site
from tollgate.stack.configuration import Configuration, left_out, load
from tollgate.stack.deploy.first_request import MODEL, may_use
from tollgate.stack.doctor.finding import Finding
from tollgate.stack.secrets import store as secrets

MIN_SECRET_LENGTH = 32
AS_DEPLOYER = "run this as the user who deployed, or with sudo"


def environment(site: Site) -> Iterator[Finding]:
    """Compare .env with .env.example, and check the mode of .env."""
    if not site.env_file.is_file():
        yield Finding.fail(".env", f"{site.env_file} does not exist", "run `make deploy`, which writes it")
        return
    try:
        missing = env.missing_keys(text.read(site.env_file), text.read(site.env_example))
    except InputError as error:
        yield Finding.fail(".env", error.problems[0].message, AS_DEPLOYER)
        return
    if missing:
        hint = "the defaults apply; copy the lines that you want from .env.example"
        yield Finding.warn(".env", f"it lacks {', '.join(missing)} of .env.example", hint)
    else:
        yield Finding.ok(".env", "has every name of .env.example")
    mode = site.env_file.stat().st_mode & 0o777
    if mode & 0o077:
        yield Finding.fail(
            ".env", f"expected mode 0600, found {mode:04o}", f"it can hold keys: run chmod 600 {site.env_file}"
        )


def secret_files(site: Site) -> Iterator[Finding]:
    if not site.secrets_dir.is_dir():
        yield Finding.fail(
            "secrets", f"{site.secrets_dir} does not exist", "run `make deploy`, which generates every secret"
        )
        return
    if not os.access(site.secrets_dir, os.R_OK | os.X_OK):
        yield Finding.fail("secrets", f"{site.secrets_dir} cannot be read", AS_DEPLOYER)
        return
    readable = secrets.too_open(site)
    for path in readable:
        mode = "700" if path.is_dir() else "600"
        yield Finding.fail("secrets", f"other users can read {path}", f"run chmod {mode} {path}")
    weak = list(_weak(site))
    yield from weak
    if not readable and not weak:
        yield Finding.ok("secrets", f"{len(secrets.GENERATED)} present, strong, readable only by their owner")


def _weak(site: Site) -> Iterator[Finding]:
    for spec in secrets.GENERATED:
        path = site.secret(spec.name)
        if not path.is_file():
            yield Finding.fail("secrets", f"{path} is missing ({spec.purpose})", "run `make deploy`")
            continue
        value = path.read_text().strip()
        if len(value) < MIN_SECRET_LENGTH or len(set(value)) < 10:
            hint = f"it is {spec.purpose}: expected {MIN_SECRET_LENGTH} random characters or more"
            yield Finding.fail("secrets", f"{path} is weak", hint)
        elif not value.startswith(spec.prefix):
            yield Finding.fail(
                "secrets", f"{path}: expected it to start with {spec.prefix}", "LiteLLM refuses any other key"
            )


def configuration(site: Site) -> Iterator[tuple[Finding, Configuration | None]]:
    """Each finding, with the configuration if it is valid, so that later checks need not read it again."""
    try:
        loaded = load(site)
    except InputError as error:
        for problem in error.problems:
            yield Finding.fail("configuration", problem.placed, problem.hint), None
        return
    yield (
        Finding.ok("configuration", f"{len(loaded.catalogue.models)} model(s), {len(loaded.tenants)} tenant(s)"),
        loaded,
    )
    for line in left_out(loaded.catalogue):
        yield Finding.skip("models", line), None


def exposure(configuration: Configuration) -> Iterator[Finding]:
    """With a provider key, only the tenant `example` should get the embedded provider's answers.

    They look like a model's.
    """
    if not configuration.settings.provider_keys:
        yield Finding.skip("providers", f"no provider key in .env: only {MODEL} is served")
        return
    others = [tenant.id for tenant in configuration.tenants if may_use(tenant, MODEL) and tenant.id != "example"]
    if others:
        hint = f"{MODEL} answers from the embedded provider; remove it from their allowed_models"
        yield Finding.warn("providers", f"{MODEL} is allowed for {', '.join(others)}", hint)
    else:
        yield Finding.ok("providers", f"{len(configuration.settings.provider_keys)} provider key(s) set")
