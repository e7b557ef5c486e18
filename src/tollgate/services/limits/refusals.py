"""The words of a refused request: which limit, what was used of it, and when to ask again."""

from __future__ import annotations

from datetime import datetime

from tollgate.services.limits.outcome import RESERVED, TOO_LARGE, UNCOUNTED, Refused
from tollgate.services.limits.rule import MONEY, NANO, PARALLEL, TOKENS, Rule
from tollgate.services.limits.windows import Window, window
from tollgate.services.limits.words import OPERATOR, capital, plural, spent_message, usd
from tollgate.services.refusals.refusal import Refusal, budget_spent, rate_limited

# Nobody knows when a running request ends.
RUNNING_S = 5


def refusal_of(refused: Refused, now: datetime, ask: str = "") -> Refusal:
    """`now` is when the request came. `ask` is the e-mail address to ask for more, or empty."""
    rule = refused.rule
    if refused.why == UNCOUNTED:
        return _uncounted()
    if refused.why == TOO_LARGE:
        return _too_large(refused, ask)
    if rule.kind == PARALLEL:
        message = (
            f"Too many requests at once: {rule.holder} may have {rule.amount:,} running at a time. "
            "Wait for one to finish and try again."
        )
        return rate_limited("max_parallel_requests", message, 1)
    inside = window(rule.window, now)
    if rule.kind == MONEY:
        return _reserved(refused, inside) if refused.why == RESERVED else _spent(refused, inside, now, ask)
    return _counted(refused, inside, now)


def _spent(refused: Refused, inside: Window, now: datetime, ask: str) -> Refusal:
    rule = refused.rule
    message = spent_message(_who(rule), refused.used / NANO, rule.amount / NANO, inside, ask)
    code = "model_budget_exceeded" if rule.model else "budget_exceeded"
    return budget_spent(code, message, inside.seconds_left(now), inside.resets_at, inside.adjective)


def _reserved(refused: Refused, inside: Window) -> Refusal:
    rule = refused.rule
    message = (
        f"{_who(rule)} has spent {usd(refused.used / NANO)} of its {inside.adjective} budget of "
        f"{usd(rule.amount / NANO)}, and its running requests may need the rest. Try again when one has finished."
    )
    return rate_limited("budget_reserved", capital(message), RUNNING_S)


def _counted(refused: Refused, inside: Window, now: datetime) -> Refusal:
    rule, left = refused.rule, inside.seconds_left(now)
    what = "token" if rule.kind == TOKENS else "request"
    limit = f"{plural(rule.amount, what)} per {rule.window}"
    used = f"{rule.holder} has used its {limit}."
    if rule.kind == TOKENS and refused.used < rule.amount:
        used = f"{rule.holder} has used {refused.used:,} of its {limit}, and this request needs {refused.wanted:,}."
    if rule.window == "minute":
        message = f"{used} It can go on in {left} s."
    else:
        message = f"{used} The next {rule.window} begins {inside.reopens}; try again then."
    return rate_limited(f"{what}s_per_{rule.window}", capital(message), left)


def _too_large(refused: Refused, ask: str) -> Refusal:
    """Final: waiting does not help."""
    rule = refused.rule
    contact = f"{ask} or {OPERATOR}" if ask else OPERATOR
    message = (
        f"This request alone is larger than the limit: it needs about {plural(refused.wanted, 'token')}, and "
        f"{rule.holder} may use {plural(rule.amount, 'token')} per {rule.window}. Send less, or ask {contact} for a "
        "higher limit."
    )
    return Refusal(429, "rate_limit_error", "request_too_large_for_limit", message)


def _uncounted() -> Refusal:
    message = "The gateway cannot count what this request would cost at the moment. Try again."
    return Refusal(529, "overloaded_error", "gateway_unavailable", message, retry=True, retry_after=5)


def _who(rule: Rule) -> str:
    return f"{rule.holder} on model {rule.model}" if rule.model else str(rule.holder)
