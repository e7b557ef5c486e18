"""`make basic`, the five-minute set-up: one LiteLLM, the embedded provider and one key.

It uses the images and the entrypoint of the full stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from tollgate.config.gateway.backend import service
from tollgate.config.gateway.file import Gateway
from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.render.backends import render_backends, run_here
from tollgate.render.litellm import render_basic
from tollgate.render.output import Rendered, digest, write
from tollgate.render.stack import REPLICA_ENVIRONMENT, render_code
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.configuration import Configuration
from tollgate.stack.containers.bring_up import bring_up
from tollgate.stack.containers.compose import BASIC_BACKENDS
from tollgate.stack.deploy import first_request, local_models, preflight
from tollgate.stack.deployment import BASIC, Deployment
from tollgate.stack.host.engine import ensure_engine
from tollgate.stack.host.progress import Display
from tollgate.stack.images.resolve import Images
from tollgate.stack.secrets import publish
from tollgate.stack.secrets import store as secrets

IMAGES = ("LITELLM_IMAGE", "TOLLGATE_IMAGE")
SERVICES = ("litellm", "provider")


@dataclass(frozen=True)
class Basic:
    """The gateway's URL, and its only key."""

    url: str
    key: Secret


def deploy(
    site: Site,
    display: Display,
    *,
    allow_engine_install: bool,
    configured: Configuration | None = None,
    port_hint: str = "`make down` first, or set GATEWAY_PORT in .env to a free one",
) -> Basic:
    """Start the basic set-up with its local backends, and send a request. A TollgateError names the part that failed.

    `configured` replaces the configuration in the files of `site`.
    """
    if configured is None:
        configuration.ensure_env(site)
    secrets.ensure_basic(site)
    loaded = configured or configuration.load(site)
    deployment = Deployment.basic(site, loaded.settings)
    settings, compose = deployment.settings, deployment.compose
    with display.step("engine"):
        ensure_engine(display, allow_install=allow_engine_install, mirror=settings.debian_mirror or "")
    if not compose.any_running():
        _check_port(settings.gateway_port, port_hint)
    with display.step("images"):
        local_models.check(site, loaded.gateway.backends)
        wanted = {*IMAGES, *local_models.images(loaded.gateway.backends)}
        images = Images(settings, site, display).provide(wanted)
        local_models.raise_if_missing(loaded.gateway.backends, images)
    local = rendered_backends(site, loaded.gateway)
    files = [*render_basic(site.root, loaded.gateway, settings), *render_code(site.root), _environment()]
    published = publish.published_basic(site, settings)
    values = {
        "COMPOSE_PROJECT_NAME": compose.project,
        "TOLLGATE_RENDERED": str(site.rendered_dir),
        "GATEWAY_PORT": str(settings.gateway_port),
        "LITELLM_CONFIG_HASH": f"{digest(files)}-{publish.digest(published, 'basic')}",
        "COMPOSE_PROFILES": "backends" if local else "",
        **images.images,
    }
    lines = "".join(f"{name}='{value}'\n" for name, value in sorted(values.items()))
    if not local:
        site.rendered(BASIC_BACKENDS).unlink(missing_ok=True)
    write(site.rendered_dir, [*files, *local, Rendered(PurePosixPath(site.basic_env.name), lines)])
    publish.write(site.basic_published_dir, published, images.images["TOLLGATE_IMAGE"])
    with display.step("services"):
        bring_up("services", compose, [*SERVICES, *map(service, run_here(loaded.gateway.backends))], display)
    basic = Basic(deployment.url(BASIC), secrets.read(site, secrets.BASIC_KEY))
    with display.step("request"):
        first_request.ask(basic.url, basic.key, "its one key", f"see: docker compose -p {compose.project} logs litellm")
    return basic


def rendered_backends(site: Site, gateway: Gateway) -> list[Rendered]:
    path = PurePosixPath(BASIC_BACKENDS)
    return render_backends(site.root, site.home, gateway.backends, ["litellm"], ["default"], path)


def down(site: Site, display: Display) -> None:
    compose = Deployment.basic(site).compose
    if not compose.rendered:
        raise TollgateError("the basic set-up is not deployed here", "run `make basic`")
    with display.step("down"):
        compose.run("down", display, "down", "--remove-orphans")


def _environment() -> Rendered:
    values = {
        name: value for name, value in REPLICA_ENVIRONMENT.items() if not name.startswith(("POSTGRES_", "REDIS_"))
    }
    return Rendered(PurePosixPath("basic-environment"), "".join(f"{k}={v}\n" for k, v in sorted(values.items())))


def _check_port(port: int, hint: str) -> None:
    if not preflight.is_free(preflight.Port("GATEWAY_PORT", "127.0.0.1", port)):
        raise TollgateError(f"port {port} is in use, perhaps by the full stack", hint)
