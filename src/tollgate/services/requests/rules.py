"""The models and the size limits of this gateway. `make deploy` renders them next to the replicas' configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tollgate.services.requests.bounds import Bounds

FILE = "requests.json"


@dataclass(frozen=True)
class Rules:
    """`models` are the names that clients may ask for, aliases included."""

    models: frozenset[str]
    bounds: Bounds


def read(text: str) -> Rules:
    """Read the file that tollgate/render/litellm.py writes."""
    values = json.loads(text)
    return Rules(frozenset(values["models"]), Bounds(body=values["max_body_bytes"]))
