"""The models that this provider lists. It also answers for any other name, because the gateway chooses names."""

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
