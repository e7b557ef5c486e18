"""The grammar of dials: which texts are dials, which are not, and the errors."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate.services.provider import dials
from tollgate.services.provider.api_errors import KIND_OF_STATUS, ApiError
from tollgate.services.provider.dials import Dials, Fault, Gap


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("latency=0.5", Dials(latency=0.5)),
        ("latency=0", Dials()),
        ("tps=20", Dials(tps=20)),
        ("tokens=300", Dials(tokens=300)),
        ("status=529", Dials(status=529)),
        ("drop=after:10", Dials(drop=10)),
        ("drop", Dials(drop=0)),
        ("hang", Dials(hang=0)),
        ("hang=after:5", Dials(hang=5)),
        ("error=after:5", Dials(error=Fault(5, 500))),
        ("error=after:5:529", Dials(error=Fault(5, 529))),
        ("error", Dials(error=Fault(0, 500))),
        ("gap=after:5:2.5", Dials(gap=Gap(5, 2.5))),
        ("roles=strict", Dials(roles="strict")),
        ("context=10", Dials(context=10)),
        ("refuse=content", Dials(refuse="content")),
        ("safeguard=flagged", Dials(safeguard="flagged")),
        ("safeguard=missing", Dials(safeguard="missing")),
    ],
)
def test_each_dial(item: str, expected: Dials) -> None:
    assert dials.parse([item]) == expected


@pytest.mark.parametrize(
    "item",
    [
        *("latency=-1", "latency=3601", "latency=soon", "latency=1e3", "latency=nan", "latency", "latency="),
        *("tps=0", "tps=inf", "tokens=0", "tokens=1.5", "tokens=100001", "tokens=²"),
        *("status=200", "status=99999", "status=", "retry-after=5"),
        *("drop=10", "drop=after:", "drop=after:-1", "hang=", "error=after:5:200", "error=5", "gap=after:5", "gap=2"),
        *("roles=loose", "refuse=all", "refuse", "context=0", "speed=9", "Tps=3", "=5", ""),
        *("safeguard=maybe", "safeguard"),
    ],
)
def test_a_bad_dial_is_named_with_the_known_ones(item: str) -> None:
    with pytest.raises(ApiError) as caught:
        dials.parse([item])
    assert caught.value.status == 400
    assert repr(item) in caught.value.message or item in caught.value.message
    assert ", ".join(dials.KNOWN) in caught.value.message


def test_all_bad_dials_are_named_at_once() -> None:
    with pytest.raises(ApiError, match=r"'speed=9'.*'tps=x'.*tokens is set twice"):
        dials.parse(["speed=9", "tps=x", "tokens=1", "tokens=2"])


def test_a_later_place_wins_for_each_dial() -> None:
    assert dials.parse(["tps=1", "tokens=2"], ["tps=3"], ["latency=4"]) == Dials(tps=3, tokens=2, latency=4)


def test_retry_after_and_status_can_be_in_different_places() -> None:
    assert dials.parse(["status=429"], ["retry-after=7"]) == Dials(status=429, retry_after=7)


@pytest.mark.parametrize(
    ("name", "model", "items"),
    [
        ("test-model", "test-model", []),
        ("test-model+tps=20+tokens=300", "test-model", ["tps=20", "tokens=300"]),
        ("test-model+hang", "test-model", ["hang"]),
        ("command-r+", "command-r+", []),
        ("a+b+tps=2", "a+b", ["tps=2"]),
        ("test-model+speed=9", "test-model", ["speed=9"]),
        ("org/model:free", "org/model:free", []),
    ],
)
def test_dials_after_a_model_name(name: str, model: str, items: list[str]) -> None:
    assert dials.from_model(name) == (model, items)


@pytest.mark.parametrize(
    ("text", "rest", "items"),
    [
        ("hello [[tokens=300 tps=20]]", "hello", ["tokens=300", "tps=20"]),
        ("[[hang]] hello [[tps=2; latency=1]]", "hello", ["hang", "tps=2", "latency=1"]),
        ("[[speed=9]]", "", ["speed=9"]),
        ("if [[ -f x ]]; then", "if [[ -f x ]]; then", []),
        ("if [[ $a == b ]]", "if [[ $a == b ]]", []),
        ("see [[Some page]] and [[]]", "see [[Some page]] and [[]]", []),
        ("grid[[0]] = [[1, 2], [3, 4]]", "grid[[0]] = [[1, 2], [3, 4]]", []),
    ],
)
def test_markers_in_a_message(text: str, rest: str, items: list[str]) -> None:
    assert dials.from_text(text) == (rest, items)


def _written(dialled: Dials) -> list[str]:
    """The dials as a user would write them."""
    fields = {field: name for name, (field, _) in dials.KNOWN.items()}
    items = []
    for field, value in asdict(dialled).items():
        if value == getattr(Dials(), field):
            continue
        match field:
            case "drop" | "hang":
                items.append(f"{field}=after:{value}")
            case "error":
                items.append(f"error=after:{value['after']}:{value['status']}")
            case "gap":
                items.append(f"gap=after:{value['after']}:{value['seconds']}")
            case _:
                items.append(f"{fields[field]}={value}")
    return items


tokens = st.integers(0, dials.MAX_TOKENS)
statuses = st.sampled_from(sorted(KIND_OF_STATUS))
seconds = st.integers(0, 3_600_000).map(lambda milliseconds: milliseconds / 1000)
some_dials = st.builds(
    Dials,
    latency=seconds,
    tps=st.none() | st.integers(1, 1000),
    tokens=st.none() | st.integers(1, dials.MAX_TOKENS),
    status=statuses,
    retry_after=st.none() | st.integers(0, 86_400),
    drop=st.none() | tokens,
    hang=st.none() | tokens,
    error=st.none() | st.builds(Fault, tokens, statuses),
    gap=st.none() | st.builds(Gap, tokens, seconds),
)


@settings(deadline=None)
@given(some_dials, st.sampled_from(["; ", ";", " ", "+", " + "]))
def test_written_dials_are_read_back(dialled: Dials, separator: str) -> None:
    written = _written(dialled)
    assert dials.parse(dials.split(separator.join(written))) == dialled
    assert dials.from_model("+".join(["m", *written])) == ("m", written)
    assert len(" ".join(written)) > 400 or dials.from_text(f"hi [[{' '.join(written)}]]") == ("hi", written)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_header_is_read_or_refused(text: str) -> None:
    try:
        dials.parse(dials.split(text))
    except ApiError as refusal:
        assert refusal.status == 400
