"""A gateway process reserves no less for a request because of a field that an upstream may ignore."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.scripted_upstream import HANG, JSON, Answer, upstream
from tests.unit.services.gateway.process import PRICES, caller, catalogue, chat, model, process, run
from tollgate.services.gateway.booking import reserved
from tollgate.services.gateway.call import Call
from tollgate.services.gateway.catalogue import Protocol
from tollgate.services.gateway.ledger.price import cost
from tollgate.services.gateway.ledger.usage import Usage
from tollgate.services.requests.estimate import input_tokens
from tollgate.services.requests.fields import OUTPUT, OUTPUT_INSIDE

PATH = "/v1/chat/completions"
WHOLE = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
BEGINS = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
ALONE: list[dict[str, Any]] = [
    *({name: 1} for name in OUTPUT),
    *({outer: {inner: 1}} for outer, inner in OUTPUT_INSIDE),
]


def call(protocol: Protocol, **body: Any) -> Call:
    parsed = {"messages": [{"role": "user", "content": "hello"}], **body}
    return cast("Call", SimpleNamespace(parsed=parsed, protocol=protocol, input_tokens=input_tokens(parsed)))


def money(protocol: Protocol, most: int | None = None, **body: Any) -> int:
    return reserved(call(protocol, **body), model(max_output_tokens=most))[1]


@pytest.mark.parametrize("most", [None, 64_000])
@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("alone", ALONE, ids=lambda alone: str(alone))
def test_a_field_that_the_upstream_may_ignore_reserves_no_less(
    alone: dict[str, Any], protocol: Protocol, most: int | None
) -> None:
    bounds = {"max_tokens"} if protocol is Protocol.MESSAGES else {"max_tokens", "max_completion_tokens"}
    input_alone = cost(Usage(input=call(protocol).input_tokens, output=1), PRICES)
    expected = input_alone if bounds & alone.keys() else money(protocol, most)
    assert money(protocol, most, **alone) == expected
    assert expected == input_alone or expected > 1000 * input_alone


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ({"n_predict": 1}, 429),
        ({"options": {"num_predict": 1}}, 429),
        ({"reasoning": {"max_tokens": 1}}, 429),
        ({"max_tokens": 1, "thinking": {"budget_tokens": 5000}}, 429),
        ({"max_tokens": 50, "n": 100}, 429),
        ({"max_tokens": 1}, 200),
        ({"max_completion_tokens": 1}, 200),
    ],
    ids=str,
)
def test_a_running_request_holds_the_money_of_its_longest_answer(
    tmp_path: Path, first: dict[str, Any], status: int
) -> None:
    """The usual answer costs two cents, and so does the budget. The last two are the twins."""

    async def test() -> None:
        streams = Answer([BEGINS, HANG], headers={"content-type": "text/event-stream"})
        async with upstream(streams, Answer([WHOLE], headers=JSON)) as one:
            served = catalogue(model(chat(one)))
            async with (
                process(tmp_path, served, caller({"daily_limit": 0.02}), spent=1) as gateway,
                gateway.post(PATH, stream=True, **{"max_tokens": None, **first}) as running,
            ):
                assert running.status == 200, "one request alone is never refused for its reservation"
                assert (await gateway.ask(PATH)).status == status

    run(test)
