"""Containers of a Compose project, asked of the engine in this process: a command line takes 20 to 70 ms of a core."""

from __future__ import annotations

from functools import cache

import docker
from docker.models.containers import Container

from tollgate.stack.containers.compose import PROJECT_LABEL, SERVICE_LABEL


@cache
def engine() -> docker.DockerClient:
    return docker.from_env()


def of_project(project: str, service: str = "") -> list[Container]:
    """Also stopped ones; of one service if it is named."""
    labels = [f"{PROJECT_LABEL}={project}", *([f"{SERVICE_LABEL}={service}"] if service else [])]
    return engine().containers.list(all=True, filters={"label": labels}, ignore_removed=True)
