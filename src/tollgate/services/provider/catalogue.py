"""The models this provider lists. Any other name is answered too: a gateway chooses the names, not the upstream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    id: str
    name: str


MODELS = (
    Model("test-model", "Embedded test model"),
    Model("test-embedding", "Embedded test embedding"),
)


def find(model_id: str) -> Model | None:
    return next((model for model in MODELS if model.id == model_id), None)
