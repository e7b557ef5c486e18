"""The order in which the targets of a model are tried: by `order`, then at random by weight. Failed ones rest."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tollgate.services.gateway.catalogue import Catalogue, Target


class Cooldowns:
    """Which targets failed too often lately. A model's only target always gets requests, as on LiteLLM's route.

    Each gateway process counts failures itself, and tells all others which targets rest (cooling.py).
    """

    def __init__(self, allowed_fails: int, cooldown_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed, self.cooldown_s, self._clock = allowed_fails, cooldown_s, clock
        self._failures: dict[str, list[float]] = {}
        self._until: dict[str, float] = {}
        # Rests that began here, and that nobody else has been told of.
        self._untold: set[str] = set()

    @classmethod
    def of(cls, catalogue: Catalogue) -> Cooldowns:
        return cls(catalogue.allowed_fails, catalogue.cooldown_s)

    def failed(self, target: Target) -> None:
        now = self._clock()
        recent = [when for when in self._failures.get(target.id, []) if when > now - self.cooldown_s]
        recent.append(now)
        if len(recent) > self._allowed and self.cooldown_s:
            self._until[target.id] = now + self.cooldown_s
            self._untold.add(target.id)
            recent = []
        self._failures[target.id] = recent

    def begun(self) -> dict[str, float]:
        """The rests that began here since the last call, with the seconds that are left of each."""
        fresh, self._untold = self._untold, set()
        now = self._clock()
        return {target: self._until[target] - now for target in fresh if self._until[target] > now}

    def tell_again(self, targets: Iterable[str]) -> None:
        """Nobody heard of these rests."""
        self._untold.update(targets)

    def rest(self, target: str, seconds: float) -> None:
        """Another process has seen this target fail too often. A longer rest stays."""
        self._until[target] = max(self._until.get(target, 0.0), self._clock() + seconds)

    def answered(self, target: Target) -> None:
        self._failures.pop(target.id, None)

    def rests(self, target: Target) -> bool:
        return self._until.get(target.id, 0.0) > self._clock()


class Resting(Collector):
    """Which targets of the catalogue rest now, for Prometheus."""

    def __init__(self, catalogue: Catalogue, cooldowns: Cooldowns) -> None:
        self._targets = {target.id: target for model in catalogue.models.values() for target in model.targets}
        self._cooldowns = cooldowns

    def collect(self) -> Iterator[Any]:
        text = "1 while this process leaves the target out because it failed too often"
        family = GaugeMetricFamily("tollgate_gateway_target_resting", text, labels=["target"])
        for name, target in self._targets.items():
            family.add_metric([name], self._cooldowns.rests(target))
        yield family

    @property
    def names(self) -> list[str]:
        return list(self._targets)


def in_turn(targets: Sequence[Target], cooldowns: Cooldowns, chance: random.Random) -> list[Target]:
    """All targets that may be asked, the first one first. If all of them rest, all are asked: one may be well again."""
    awake = targets if len(targets) == 1 else [target for target in targets if not cooldowns.rests(target)]
    if len(awake) < 2:
        return list(awake or targets)
    # Weighted order without replacement: Efraimidis and Spirakis, "Weighted random sampling" (2006).
    return sorted(awake, key=lambda target: (target.order, -(chance.random() ** (1 / target.weight))))
