"""A replica that takes connections and never answers: out of rotation, back again, and never the last one."""

from __future__ import annotations

import pytest

from tests.contract.nginx.conftest import StartEdge
from tests.contract.nginx.edge import Edge
from tests.contract.nginx.test_replicas import answered_by
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker

OFTEN = ("check_every=2\ncheck_timeout=3", "check_every=0.2\ncheck_timeout=1.5")


def freeze(edge: Edge, name: str) -> None:
    """As SIGSTOP does: the kernel still takes connections for it."""
    edge.replicas[name].get_wrapped_container().pause()


def thaw(edge: Edge, name: str) -> None:
    edge.replicas[name].get_wrapped_container().unpause()


def test_frozen_replicas_get_no_requests_but_one_always_stays(start_edge: StartEdge) -> None:
    with start_edge(edits={"checks.sh": OFTEN}) as edge, edge.client() as client:
        freeze(edge, "litellm-1")
        edge.wait_for_rotation("litellm-2")
        assert answered_by(client, 20) == {"litellm-2"}
        said = "checks: litellm-1 takes connections and answers no health check"
        eventually(lambda: said in edge.log(), within=20)
        # Now none answers: whatever that is, an empty list would make it worse.
        freeze(edge, "litellm-2")
        edge.wait_for_rotation("litellm-1", "litellm-2")
        thaw(edge, "litellm-1")
        edge.wait_for_rotation("litellm-1")
        assert answered_by(client, 20) == {"litellm-1"}
        thaw(edge, "litellm-2")
        edge.wait_for_rotation("litellm-1", "litellm-2")
        eventually(lambda: answered_by(client) == {"litellm-1", "litellm-2"}, within=30)


def test_twin_without_the_checks_a_frozen_replica_stays(start_edge: StartEdge) -> None:
    edits = {"checks.sh": (OFTEN[0] + "\nfailures_allowed=3", OFTEN[1] + "\nfailures_allowed=999999")}
    with start_edge(edits=edits) as edge:
        freeze(edge, "litellm-1")
        with pytest.raises(AssertionError):
            eventually(lambda: len(edge.in_rotation()) == 1, within=15)
        thaw(edge, "litellm-1")
