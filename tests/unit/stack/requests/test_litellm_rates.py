"""The questions to Prometheus name metrics that exist, and its answers become rows."""

from __future__ import annotations

import pytest

from tests.support.metrics import inventory, mistakes
from tests.support.scripted_prometheus import Series, scripted_prometheus
from tollgate.errors import TollgateError
from tollgate.stack.requests.litellm_rates import MODEL, REPLICA, TENANT, expressions, rates
from tollgate.stack.requests.live import Row


def series(query: str) -> Series:
    """The requests of two replicas, a quantile of nothing, and a replica without requests."""
    if query.startswith("up{"):
        return [({"replica": f"litellm-{number}"}, "1") for number in (1, 2, 3)]
    if "(replica" not in query:
        return [({"team": "acme"}, "2.5")] if "(team)" in query and "spend" in query else []
    if "quantile" in query:
        return [({"replica": "litellm-1"}, "NaN"), ({"replica": "litellm-2"}, "812.4")]
    return [({"replica": "litellm-1"}, "1.5"), ({"replica": "litellm-2"}, "0.5"), ({}, "9")]


@pytest.mark.parametrize("by", [TENANT, MODEL, REPLICA])
def test_every_metric_and_label_exists(by: str) -> None:
    for expression in expressions(by).values():
        assert mistakes(expression, inventory()) == []
    assert mistakes("sum by (nothing_has_it) (litellm_spend_metric_total)", inventory()), "twin"


def test_answers_become_rows() -> None:
    with scripted_prometheus(series) as address:
        found = rates(address)
    assert found[TENANT] == {"acme": Row("acme", usd_h=2.5)}
    assert found[REPLICA]["litellm-1"] == Row("litellm-1", 1.5, 1.5, 1.5, 1.5)
    assert found[REPLICA]["litellm-2"] == Row("litellm-2", 0.5, 0.5, 0.5, 0.5, first_byte_p95_ms=812)
    assert found[REPLICA]["litellm-3"] == Row("litellm-3"), "a replica without requests is shown too"
    assert found[REPLICA].keys() == {"litellm-1", "litellm-2", "litellm-3"}


def test_a_prometheus_that_does_not_answer_is_an_error_with_a_hint() -> None:
    with pytest.raises(TollgateError, match="Prometheus does not answer") as refused:
        rates("http://127.0.0.1:9")
    assert refused.value.hint
