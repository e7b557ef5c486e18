"""A rollout drains replicas through an nginx that has just started. A missing list does not mean that one is out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.nginx.conftest import StartEdge
from tests.contract.nginx.edge import Edge
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.container import Container
from tollgate.stack.containers.drain import Drain
from tollgate.stack.host.progress import PlainProgress

pytestmark = pytest.mark.docker


class Containers(Compose):
    """The containers of an edge, with the names of their services."""

    def __init__(self, edge: Edge) -> None:
        super().__init__("t", (), Path("compose.env"))
        self.__dict__["edge"] = edge

    @property
    def environment(self) -> dict[str, str]:
        edge: Edge = self.__dict__["edge"]
        return {"TOLLGATE_RENDERED": str(edge.directory)}

    def containers(self) -> list[Container]:
        edge: Edge = self.__dict__["edge"]
        found = {"nginx": edge.nginx, **edge.replicas}
        ids = {name: container.get_wrapped_container().id for name, container in found.items()}
        return [Container(name, name, made, "running", "", 0, "") for name, made in ids.items()]


def test_a_replica_is_drained_from_an_nginx_that_has_just_started(start_edge: StartEdge) -> None:
    with start_edge() as edge:
        rotation = Drain(Containers(edge), PlainProgress())
        edge.nginx.get_wrapped_container().restart(timeout=20)
        rotation.take_out("litellm-1")
        assert edge.in_rotation() == {f"{edge.ip('litellm-2')}:4000"}
        assert rotation.drained() == {"litellm-1"}
        rotation.put_back("litellm-1")
        assert edge.in_rotation() == {f"{edge.ip(name)}:4000" for name in ("litellm-1", "litellm-2")}
