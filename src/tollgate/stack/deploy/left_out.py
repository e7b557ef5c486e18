"""Records what the last deploy left out, for `status` and `doctor`: services with the reason, models without a key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tollgate.render import watchers
from tollgate.render.output import Rendered
from tollgate.site import Site
from tollgate.stack.configuration import Configuration
from tollgate.stack.configuration import left_out as models_left_out
from tollgate.stack.deploy import local_models
from tollgate.stack.images.resolve import ImageSet


@dataclass(frozen=True)
class LeftOut:
    """`watchers` maps each service to the reason. `models` are lines to print.

    `backends` maps each local backend's service to the reason and the hint. `images` maps the variable of each missing
    image to the reason.
    """

    watchers: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    backends: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """One line for each reason."""
        services: dict[str, list[str]] = {}
        for service, reason in sorted(self.watchers.items()):
            services.setdefault(reason, []).append(service)
        lines = [f"left out: {', '.join(names)}: {reason}" for reason, names in services.items()]
        lines += [f"left out: {name}: {reason}; {hint}" for name, (reason, hint) in self.backends.items()]
        return [*lines, *self.models]


def of_watchers(configuration: Configuration, images: ImageSet) -> LeftOut:
    return LeftOut(watchers.left_out(images.unavailable, grafana=configuration.settings.grafana == "on"))


def render(site: Site, configuration: Configuration, images: ImageSet) -> Rendered:
    unable = local_models.unable(configuration.gateway.backends, images)
    kept = {
        "watchers": of_watchers(configuration, images).watchers,
        "models": models_left_out(configuration.catalogue),
        "backends": {name: (problem.message, problem.hint) for name, problem in unable.items()},
        "images": dict(images.unavailable),
    }
    return Rendered(PurePosixPath(site.left_out_file.name), json.dumps(kept, indent=2, sort_keys=True) + "\n")


def read(site: Site) -> LeftOut:
    """Read what the last deploy left out; empty before the first deploy."""
    file = site.left_out_file
    if not file.is_file():
        return LeftOut()
    kept = json.loads(file.read_text())
    # An older kit's file has only the first two.
    backends = {name: (reason, hint) for name, (reason, hint) in kept.get("backends", {}).items()}
    return LeftOut(kept["watchers"], tuple(kept["models"]), backends, kept.get("images", {}))
