"""A request's trace as a paragraph for people."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from tollgate.ledger.figures import status_words
from tollgate.stack.requests.trace import Trace

BOOKED = {
    "ledger": "It is booked in the ledger.",
    "journal": "It waits in the journal of {process} and is not in the ledger yet.",
    "running": "It runs now.",
    "not yet": "LiteLLM has not booked it. It does so within seconds of the end of an answer.",
    "nothing": "It cost nothing, and the ledger has no line of it.",
    "missing": "It is neither in the journal nor in the ledger, which deletes single requests after a time.",
    "unknown": "Whether it is booked could not be read.",
}


def paragraph(trace: Trace) -> str:
    return " ".join(sentence for sentence in _sentences(trace) if sentence)


def _sentences(trace: Trace) -> Iterator[str]:
    yield _who(trace)
    yield _where(trace)
    yield _how(trace)
    yield _refusal(trace)
    yield _figures(trace)
    yield _booked(trace)
    if trace.edge_status is not None and trace.status is not None and trace.edge_status != trace.status:
        yield f"nginx logged the status {trace.edge_status}."


def _who(trace: Trace) -> str:
    when = f"on {trace.began:%Y-%m-%d at %H:%M:%S} UTC" if trace.began else "at an unknown time"
    tenant = f"tenant {trace.tenant}" if trace.tenant else "A caller that no log names"
    key = f" with the key {trace.key}" if trace.key else ""
    model = f" for the model {trace.model}" if trace.model else ""
    return f"{tenant[0].upper()}{tenant[1:]} sent request {trace.request_id}{key} {when}{model}."


def _where(trace: Trace) -> str:
    by = f"Gateway process {trace.process}" if trace.process else ""
    if trace.code == "edge":
        return "nginx answered it by itself."
    if trace.route == "litellm":
        reason = f" (reason: {trace.reason})" if trace.reason else ""
        return f"{by} handed it to LiteLLM{reason}." if by else "LiteLLM served it."
    if trace.route == "own":
        return f"{by} answered it without a model."
    if trace.route == "count" and trace.target:
        return f"{by} asked the target {trace.target} to count its tokens."
    if trace.target:
        other = f", which is the model {trace.answered_by}" if trace.answered_by not in ("", trace.model) else ""
        return f"{by} called the target {trace.target}{other}."
    if trace.booked == "running":
        return f"{by} let it in."
    return ""


def _how(trace: Trace) -> str:
    if trace.booked == "running":
        return ""
    if trace.booked == "interrupted":
        return "Its process stopped before the answer ended."
    if trace.status is None:
        return "No log has its end."
    first = f", the first byte after {_duration(trace.first_byte_ms)}" if trace.first_byte_ms is not None else ""
    whole = f", the end after {_duration(trace.duration_ms)}" if trace.duration_ms is not None else ""
    if trace.status == 499:
        return f"The client left before the end{first}{whole}."
    meaning = status_words(str(trace.status)) if trace.status >= 400 else ""
    broke = f" and broke off ({trace.error})" if trace.error and trace.status < 400 else ""
    return f"The answer had status {trace.status}{f' ({meaning})' if meaning else ''}{broke}{first}{whole}."


def _refusal(trace: Trace) -> str:
    if trace.sentence:
        return f"It was refused ({trace.code}): “{trace.sentence}”"
    return f"It was refused ({trace.code})." if trace.code not in ("", "edge") else ""


def _figures(trace: Trace) -> str:
    if trace.tokens_in is None and trace.tokens_out is None:
        return ""
    cost = f" and cost {_usd(trace.usd)}" if trace.usd is not None else ""
    return f"It used {trace.tokens_in or 0:,} tokens of input and {trace.tokens_out or 0:,} of output{cost}."


def _booked(trace: Trace) -> str:
    if trace.booked == "interrupted":
        if trace.usd is None:
            return "A gateway process books what it had used."
        return "The ledger has what it had used until then."
    return BOOKED[trace.booked].format(process=trace.process or "a gateway process")


def _duration(milliseconds: int | None) -> str:
    return f"{milliseconds} ms" if (milliseconds or 0) < 1000 else f"{(milliseconds or 0) / 1000:.1f} s"


def _usd(amount: Decimal | None) -> str:
    """All digits: a single request often costs less than a cent."""
    return f"${(amount or Decimal(0)).normalize():f}"
