"""The images of services that no request needs. A deploy gets them after its first request.

Until then it renders for those that are here, and says of a missing one what the last deploy said. So a deploy that
finds the same registries away changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from tollgate.config.env.settings import Settings
from tollgate.render.watchers import LATE, ON_REQUEST, WATCHERS
from tollgate.site import Site
from tollgate.stack.containers.optional import NotUp
from tollgate.stack.deploy import left_out
from tollgate.stack.images.recipes import ACME, BACKUP
from tollgate.stack.images.resolve import Images, ImageSet

NOT_YET = "its image is not here yet"
_SERVICES = {image: service for service, image in {**WATCHERS, **ON_REQUEST}.items()}


def wanted(settings: Settings, core: Collection[str]) -> frozenset[str]:
    """The variables of these images that this deployment wants. `core` are those that every deployment has."""
    acme = {ACME} if settings.tls == "acme" else set()
    backup = {BACKUP} if settings.backup_schedule else set()
    return LATE.intersection(core) | acme | backup


def not_up(images: ImageSet) -> list[NotUp]:
    """The services that a setting asks for and whose image is missing. Their containers of the last deploy run on."""
    hint = "correct the cause and run `make deploy` again"
    return [
        NotUp(service, images.unavailable[image], hint)
        for service, image in ON_REQUEST.items()
        if image in images.unavailable
    ]


def expected(site: Site, images: Images, names: Collection[str]) -> ImageSet:
    """Those of `names` that are here, and for each other one the reason of the last deploy. Asks no registry."""
    here, before = images.here(names), left_out.read(site).watchers
    missing = {name: before.get(_SERVICES[name], NOT_YET) for name in names if name not in here}
    return ImageSet(here, missing)
