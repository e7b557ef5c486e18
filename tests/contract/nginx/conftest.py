"""One shared edge for the tests that leave it as it was, and a way to start another for those that do not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.nginx.edge import Edge, Images, running_edge
from tests.support.images import image

StartEdge = Callable[..., AbstractContextManager[Edge]]


@pytest.fixture(scope="session")
def edge_images() -> Images:
    """The images a deployment would run."""
    return Images(nginx=image("NGINX_IMAGE"), python=image("TOLLGATE_IMAGE"))


@pytest.fixture(scope="session")
def start_edge(edge_images: Images) -> StartEdge:
    """`with start_edge(replicas=…, limits=…, edits=…) as edge:` an edge of the test's own."""

    @contextmanager
    def start(**options: Any) -> Iterator[Edge]:
        with (
            tempfile.TemporaryDirectory(prefix="tollgate-edge-") as directory,
            running_edge(edge_images, Path(directory), **options) as edge,
        ):
            yield edge

    return start


@pytest.fixture(scope="session")
def edge(start_edge: StartEdge) -> Iterator[Edge]:
    """Two replicas behind nginx, shared: a test must leave it as it found it."""
    with start_edge() as running:
        yield running


@pytest.fixture(scope="session")
def careless_edge(start_edge: StartEdge) -> Iterator[Edge]:
    """The twin: the same edge without its rules. A check that passes on `edge` must fail here."""
    edits = {
        "nginx.conf": (
            "one-request.conf;\n            return 404;\n",
            "one-request.conf;\n            proxy_pass http://litellm;\n",
        ),
        "snippets/transport.conf": (
            "proxy_http_version 1.1;\nproxy_buffering off;",
            "proxy_http_version 1.0;\nproxy_buffering on;",
        ),
        "snippets/hidden-headers.conf": ("proxy_hide_header x-litellm", "proxy_hide_header x-other"),
        "snippets/request-headers.conf": [
            ('proxy_set_header X-Litellm-Api-Key ""', 'proxy_set_header X-Other ""'),
            ("proxy_set_header X-Api-Key $http_x_api_key", 'proxy_set_header X-Api-Key ""'),
        ],
        "snippets/log.conf": ('"uri":"$log_uri"', '"uri":"$request_uri"'),
    }
    with start_edge(replicas=1, edits=edits) as running:
        yield running


@pytest.fixture
def client(edge: Edge) -> Iterator[httpx.Client]:
    with edge.client(headers={"Authorization": "Bearer sk-test-key-0001"}) as client:
        yield client
