"""Parses the arguments and options of the tenant commands. TollgateError for values that make no sense."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from getpass import getpass
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from tollgate.config.secret import Secret
from tollgate.config.tenant.key_source import check_key
from tollgate.config.tenant.model import Name
from tollgate.config.yaml.document import Loc
from tollgate.errors import Mistake, TollgateError
from tollgate.limits import OPTIONS

NONE = "none"
USAGE = 'create ID [KEY] [DAILY_USD ["MODEL,MODEL"]]'


def _option(name: str) -> Any:
    """The option of one limit."""
    limit = OPTIONS[name]
    amount = "USD" if limit.section == "budget" else "N"
    return typer.Option(f"--{name}", metavar=f"{amount}|{NONE}", help=limit.help)


Daily = Annotated[str, _option("daily")]
Weekly = Annotated[str, _option("weekly")]
Monthly = Annotated[str, _option("monthly")]
Soft = Annotated[str, _option("soft")]
Rpm = Annotated[str, _option("rpm")]
Rph = Annotated[str, _option("rph")]
Rpd = Annotated[str, _option("rpd")]
Tpm = Annotated[str, _option("tpm")]
Parallel = Annotated[str, _option("parallel")]
Models = Annotated[str, typer.Option("--models", metavar="A,B", help="models, aliases, group:NAME")]
FullName = Annotated[str | None, typer.Option("--name", help="the name in dashboards and reports")]
Owner = Annotated[str | None, typer.Option("--owner", help="e-mail address of the person responsible for the spend")]


@dataclass(frozen=True)
class Given:
    """The arguments of `create`. At most one of `key` and `source` is set. With neither, the kit generates a key."""

    key: Secret | None = None
    source: str = ""
    visible: bool = False
    daily: str = ""
    models: str = ""


def create_words(words: Sequence[str]) -> Given:
    """Parse `[KEY] [DAILY [MODELS]]`. A first word that is a number is the daily budget, any other is a key."""
    rest = list(words)
    given = Given() if not rest or _is_amount(rest[0]) else _key(rest.pop(0))
    if len(rest) > 2:
        raise TollgateError(f"expected {USAGE}, found {len(words) + 1} words", "write the models as one word: a,b")
    if rest and not _is_amount(rest[0]):
        hint = f"{USAGE}; for models without a budget use --models"
        raise TollgateError(f"expected the daily budget in USD, found {rest[0][:40]!a}", hint)
    return Given(given.key, given.source, given.visible, *rest)


def _is_amount(word: str) -> bool:
    if word == NONE:
        return True
    try:
        float(word)
    except ValueError:
        return False
    return True


def _key(word: str) -> Given:
    """Parse KEY: the key itself, `-` to read it from standard input, or the source that each apply reads."""
    if word.startswith(("env:", "file:")):
        return Given(source=word)
    visible = word != "-"
    text = word if visible else _typed().strip()
    if not text:
        raise TollgateError("expected a key on standard input, found nothing", "without - the kit generates a key")
    return Given(key=parse_key(text), visible=visible)


def _typed() -> str:
    return getpass("key: ") if sys.stdin.isatty() else sys.stdin.readline()


def parse_key(text: str) -> Secret:
    """TollgateError with the reason if LiteLLM would refuse this key. Never quotes the key."""
    try:
        return check_key(text)
    except Mistake as error:
        raise TollgateError(f"KEY: {error.message}", error.hint) from None


def tenant_id(text: str) -> str:
    """Check an id before it becomes a file's name. The validation of the file has the same rule, but runs later."""
    return _named(text, "ID", "as in engineering or team-7")


def key_name(text: str) -> str:
    return _named(text, "NAME", "as in alice or ci")


def _named(text: str, what: str, hint: str) -> str:
    try:
        return str(TypeAdapter(Name).validate_python(text))
    except ValidationError:
        letters = "lower-case letters, digits, - and _, at most 63"
        raise TollgateError(f"{what}: expected {letters}, found {text[:70]!a}", hint) from None


def models(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise TollgateError(f"--models: expected names separated by commas, found {text[:60]!a}", "as in a,b")
    return list(dict.fromkeys(names))


def amounts(**options: str) -> dict[Loc, Any]:
    """The given limits: place in the file to value. `none` becomes null, which also removes a default limit."""
    limits: dict[Loc, Any] = {}
    for name, text in options.items():
        if text:
            limits[OPTIONS[name].section, OPTIONS[name].name] = None if text == NONE else _number(name, text)
    return limits


def _number(name: str, text: str) -> float | int:
    """Parse a finite number. The validation of the file checks its range."""
    money = OPTIONS[name].section == "budget"
    try:
        value = float(text) if money else int(text)
        if not math.isfinite(value):
            raise ValueError
        return value
    except ValueError:
        kind = "an amount in USD" if money else "a whole number"
        raise TollgateError(
            f"--{name}: expected {kind} or {NONE}, found {text[:40]!a}", f"as in --{name} 100"
        ) from None
