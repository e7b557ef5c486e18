"""Words that several refusals share: amounts, numbers, and what is said of a spent budget."""

from __future__ import annotations

from tollgate.services.limits.windows import Window

OPERATOR = "the operator of this gateway"


def spent_message(who: str, spent: float, limit: float, inside: Window, ask: str) -> str:
    """The text that Claude Code shows for a spent budget: who, how much, until when, and what to do.

    Amounts are in USD. `ask` is the e-mail address to ask for more, or empty.
    """
    contact = f"{ask} or {OPERATOR}" if ask else OPERATOR
    return capital(
        f"{who} has spent {usd(spent)} of its {inside.adjective} budget of {usd(limit)}. "
        f"It reopens {inside.reopens}; for more before then ask {contact}."
    )


def plural(count: float, what: str) -> str:
    return f"{count:,.0f} {what}{'' if count == 1 else 's'}"


def usd(amount: float) -> str:
    """With two digits after the point, or up to six for an amount below one dollar."""
    digits = 2 if amount >= 1 or amount == 0 else 6
    text = f"{amount:,.{digits}f}"
    while digits > 2 and text.endswith("0"):
        text, digits = text[:-1], digits - 1
    return f"${text}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
