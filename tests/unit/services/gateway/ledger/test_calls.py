"""Records of calls, and that no text of a client gets far."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.support.gateway_ledger import KEY, STARTED, TARGET, begun, outcome, used
from tollgate.services.gateway.ledger import calls
from tollgate.services.gateway.ledger.calls import Call, plain_begun, plain_call, plain_target
from tollgate.services.gateway.ledger.price import Prices
from tollgate.services.gateway.ledger.rows import row
from tollgate.services.gateway.ledger.usage import Usage


def test_a_record_comes_back_as_it_was() -> None:
    full = begun(key_alias="a", user="u", organization="o", session="s", address="192.0.2.1", tags=("x", "y"))
    for call in (Call.of(full, outcome()), Call.of(begun(), outcome(status=500, error="ApiError", first_byte=None))):
        assert calls.call(json.loads(json.dumps(plain_call(call)))) == call


def test_fields_of_a_later_version_are_left_out() -> None:
    content = plain_call(Call.of(begun(), outcome()))
    content["begun"]["target"]["colour"] = content["begun"]["mood"] = content["outcome"]["weather"] = content["new"] = 1
    assert calls.call(content) == Call.of(begun(), outcome())


def test_a_target_without_a_price_is_free() -> None:
    content = plain_target(replace(TARGET, prices=Prices()))
    assert content["prices"] == [0, 0, 0, 0, 0] and calls.target(content).prices == Prices()


def test_a_fallback_counts_for_its_own_model_and_keeps_the_asked_name() -> None:
    call = Call.of(begun(target=replace(TARGET, group="haiku")), outcome())
    content = json.loads(json.dumps(plain_call(call)))
    assert calls.call(content) == call
    found = row(call)
    assert (found["model_group"], found["metadata"]["tollgate"]["asked"]) == ("haiku", "sonnet")
    # A line of an earlier version, and every call that its own model answered.
    del content["begun"]["target"]["group"]
    found = row(calls.call(content))
    assert found["model_group"] == "sonnet" and "asked" not in found["metadata"]["tollgate"]
    assert "group" not in plain_target(TARGET)


def test_texts_are_cleaned_and_cut() -> None:
    odd = "a\0b\ud800c\n" + "x" * 1000
    content = plain_begun(begun(model=odd, tags=tuple(f"{odd}{number}" for number in range(50))))
    assert content["model"].startswith("a\ufffdb\ufffdc\ufffdx") and len(content["model"]) == 200
    assert len(content["tags"]) == calls.MOST_TAGS and all(len(tag) == 128 for tag in content["tags"])
    json.dumps(content, ensure_ascii=False).encode()


@pytest.mark.parametrize("wrong", ["", "x" * 32, "A" * 32, "0" * 31, "0" * 33, "0" * 32 + "\n"])
def test_an_id_that_is_not_ours_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="32 hex digits"):
        replace(begun(), id=wrong).check()


def test_a_key_in_plain_text_is_refused() -> None:
    with pytest.raises(ValueError, match="the hash of a key") as found:
        begun(key="sk-a-secret-key").check()
    assert "a-secret-key" not in str(found.value)


def test_an_interrupted_call_is_a_failure_that_costs() -> None:
    call = Call.interrupted(begun(), used(), STARTED - 5)
    found = row(call)
    assert call.failed and call.cost == Call.of(begun(), outcome()).cost > 0
    assert (found["status"], found["error_code"], found["duration"], found["ended"]) == (
        "failure",
        0,
        0,
        "2026-11-21T13:40:00.000",
    )
    assert found["metadata"]["error_information"] == {"error_code": "", "error_class": "Interrupted"}


def test_a_row_has_no_key_and_fits_its_columns() -> None:
    found = row(Call.of(begun(), outcome(usage=Usage(2**40, 2**40, 2**40, 2**40))))
    assert found["api_key"] == KEY and found["prompt"] == found["completion"] == found["cache_read"] == 2**31 - 1
    assert (found["day"], found["started"]) == ("2026-11-21", "2026-11-21T13:40:00.000")


@pytest.mark.parametrize(
    ("call_type", "endpoint"),
    [("anthropic_messages", ""), ("acompletion", "/chat/completions"), ("aembedding", "/embeddings")],
)
def test_the_endpoint_is_litellms(call_type: str, endpoint: str) -> None:
    assert row(Call.of(begun(call_type=call_type), outcome()))["endpoint"] == endpoint


@pytest.mark.parametrize(("status", "error", "code"), [(429, "", 429), (200, "Cut", 200), (0, "Gone", 0), (999, "", 0)])
def test_the_code_of_a_failure(status: int, error: str, code: int) -> None:
    found = row(Call.of(begun(), outcome(status=status, error=error, first_byte=None)))
    assert (found["status"], found["error_code"]) == ("failure", code)
    assert found["first_byte"] == found["ended"]
