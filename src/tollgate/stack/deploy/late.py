"""The images of services that the gateway works without. A deploy gets them after its first request.

Until then it renders for those that are here, and says of a missing one what the last deploy said. So a deploy that
finds the same registries away changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from tollgate.render.watchers import LATE, ON_REQUEST
from tollgate.site import Site
from tollgate.stack.configuration import Configuration
from tollgate.stack.containers.optional import NotUp
from tollgate.stack.deploy import left_out, local_models
from tollgate.stack.images.recipes import ACME, BACKUP
from tollgate.stack.images.resolve import Images, ImageSet

NOT_YET = "its image is not here yet"


def wanted(configuration: Configuration, core: Collection[str], unfit: Collection[str] = ()) -> frozenset[str]:
    """The variables of these images that this deployment wants.

    `core` are those that every deployment has. `unfit` are the local backends that cannot run here.
    """
    acme = {ACME} if configuration.settings.tls == "acme" else set()
    backup = {BACKUP} if configuration.settings.backup_schedule else set()
    return LATE.intersection(core) | acme | backup | local_models.images(configuration.gateway.backends, unfit)


def not_up(configuration: Configuration, images: ImageSet) -> list[NotUp]:
    """The services that a file asks for and that cannot start here. Their containers of the last deploy run on."""
    hint = "correct the cause and run `make deploy` again"
    problems = [
        NotUp(service, images.unavailable[image], hint)
        for service, image in ON_REQUEST.items()
        if image in images.unavailable
    ]
    unable = local_models.unable(configuration.gateway.backends, images)
    return problems + [NotUp(name, problem.message, problem.hint) for name, problem in unable.items()]


def expected(site: Site, images: Images, names: Collection[str]) -> ImageSet:
    """Those of `names` that are here, and for each other one the reason of the last deploy. Asks no registry."""
    here, before = images.here(names), left_out.read(site).images
    missing = {name: before.get(name, NOT_YET) for name in names if name not in here}
    return ImageSet(here, missing)
