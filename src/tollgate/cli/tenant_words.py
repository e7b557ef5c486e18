"""What the tenant commands' words and options mean, and what is said when they mean nothing."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from getpass import getpass
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from tollgate.config.key_source import check_key
from tollgate.config.secret import Secret
from tollgate.config.source import Loc
from tollgate.config.tenant_model import Name
from tollgate.errors import TollgateError

NONE = "none"
USAGE = 'create ID [KEY] [DAILY_USD ["MODEL,MODEL"]]'

Daily = Annotated[str, typer.Option("--daily", metavar="USD|none", help="budget a day")]
Weekly = Annotated[str, typer.Option("--weekly", metavar="USD|none", help="budget a week")]
Monthly = Annotated[str, typer.Option("--monthly", metavar="USD|none", help="budget a month")]
Soft = Annotated[str, typer.Option("--soft", metavar="USD|none", help="from here on the owner is told")]
Rpm = Annotated[str, typer.Option("--rpm", metavar="N|none", help="requests a minute")]
Rph = Annotated[str, typer.Option("--rph", metavar="N|none", help="requests an hour")]
Rpd = Annotated[str, typer.Option("--rpd", metavar="N|none", help="requests a day")]
Tpm = Annotated[str, typer.Option("--tpm", metavar="N|none", help="tokens a minute")]
Parallel = Annotated[str, typer.Option("--parallel", metavar="N|none", help="requests at the same time")]
Models = Annotated[str, typer.Option("--models", metavar="A,B", help="models, aliases, group:NAME")]
FullName = Annotated[str | None, typer.Option("--name", help="for people, in dashboards and reports")]
Owner = Annotated[str | None, typer.Option("--owner", help="e-mail address of who answers for the spend")]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable")]

LIMITS: dict[str, Loc] = {
    "daily": ("budget", "daily_limit"),
    "weekly": ("budget", "weekly_limit"),
    "monthly": ("budget", "monthly_limit"),
    "soft": ("budget", "soft_limit"),
    "rpm": ("rate_limits", "requests_per_minute"),
    "rph": ("rate_limits", "requests_per_hour"),
    "rpd": ("rate_limits", "requests_per_day"),
    "tpm": ("rate_limits", "tokens_per_minute"),
    "parallel": ("rate_limits", "max_parallel_requests"),
}


@dataclass(frozen=True)
class Given:
    """The words of `create`. At most one of `key` and `source` is set; with neither a key is generated."""

    key: Secret | None = None
    source: str = ""
    visible: bool = False
    daily: str = ""
    models: str = ""


def create_words(words: Sequence[str]) -> Given:
    """`[KEY] [DAILY [MODELS]]`: a number is a daily budget, anything else in its place is meant as a key."""
    rest = list(words)
    given = Given() if not rest or _is_amount(rest[0]) else _key(rest.pop(0))
    if len(rest) > 2:
        raise TollgateError(f"expected {USAGE}, found {len(words) + 1} words", "put the models in one word: a,b")
    if rest and not _is_amount(rest[0]):
        hint = f"{USAGE}; models without a budget: --models"
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
    """KEY: the key itself, `-` to read it from standard input, or where each apply is to look for it."""
    if word.startswith(("env:", "file:")):
        return Given(source=word)
    visible = word != "-"
    text = word if visible else _typed().strip()
    if not text:
        raise TollgateError("expected a key on standard input, found nothing", "leave - out and one is generated")
    return Given(key=a_key(text), visible=visible)


def _typed() -> str:
    return getpass("key: ") if sys.stdin.isatty() else sys.stdin.readline()


def a_key(text: str) -> Secret:
    """TollgateError with LiteLLM's reason where it would not take this key; never repeats it."""
    try:
        return check_key(text)
    except ValueError as error:
        what, _, hint = str(error).partition("\n")
        raise TollgateError(f"KEY: {what}", hint) from None


def tenant_id(text: str) -> str:
    """An id that may become a file's name; the file's validation would say the same, but after looking for the file."""
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
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise TollgateError(f"--models: expected names with commas between them, found {text[:60]!a}", "as in a,b")
    return list(dict.fromkeys(found))


def amounts(**options: str) -> dict[Loc, Any]:
    """The limits that were given, by their place in the file; `none` is null, which is none whatever the defaults."""
    found: dict[Loc, Any] = {}
    for name, text in options.items():
        if text:
            found[LIMITS[name]] = None if text == NONE else _number(name, text)
    return found


def _number(name: str, text: str) -> float | int:
    """Whether the number makes sense is for the file's validation to say; here it must be one."""
    money = LIMITS[name][0] == "budget"
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
