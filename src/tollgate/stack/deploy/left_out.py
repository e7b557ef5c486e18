"""Records what the last deploy left out, for `status` and `doctor`: watchers with the reason, models without a key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tollgate.config.env.settings import Settings
from tollgate.render import watchers
from tollgate.render.output import Rendered
from tollgate.site import Site
from tollgate.stack.configuration import Configuration
from tollgate.stack.configuration import left_out as models_left_out
from tollgate.stack.images.resolve import ImageSet


@dataclass(frozen=True)
class LeftOut:
    """`watchers` maps each service to the reason. `models` are lines to print."""

    watchers: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """One line for each reason."""
        services: dict[str, list[str]] = {}
        for service, reason in sorted(self.watchers.items()):
            services.setdefault(reason, []).append(service)
        return [*(f"left out: {', '.join(names)}: {reason}" for reason, names in services.items()), *self.models]


def of_watchers(settings: Settings, images: ImageSet) -> LeftOut:
    return LeftOut(watchers.left_out(images.unavailable, grafana=settings.grafana == "on"))


def render(site: Site, configuration: Configuration, images: ImageSet) -> Rendered:
    kept = {
        "watchers": of_watchers(configuration.settings, images).watchers,
        "models": models_left_out(configuration.catalogue),
    }
    return Rendered(PurePosixPath(site.left_out_file.name), json.dumps(kept, indent=2) + "\n")


def read(site: Site) -> LeftOut:
    """Read what the last deploy left out; empty before the first deploy."""
    file = site.left_out_file
    if not file.is_file():
        return LeftOut()
    kept = json.loads(file.read_text())
    return LeftOut(kept["watchers"], tuple(kept["models"]))
