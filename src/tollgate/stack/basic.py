"""`make basic`: the five-minute set-up. One LiteLLM, the embedded provider, one key; same images, same entrypoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from tollgate.config.backends import service
from tollgate.config.gateway import Gateway
from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.render.backends import render_backends, run_here
from tollgate.render.litellm import render_basic
from tollgate.render.output import Rendered, digest, write
from tollgate.render.stack import REPLICA_ENVIRONMENT, render_code
from tollgate.site import Site
from tollgate.stack import backends, configuration, first_request, litellm_versions, preflight, publish, secrets
from tollgate.stack.bring_up import bring_up
from tollgate.stack.compose import BASIC_BACKENDS, Compose
from tollgate.stack.configuration import Configuration
from tollgate.stack.deploy import Display
from tollgate.stack.engine import ensure_engine
from tollgate.stack.images import resolve

IMAGES = ("LITELLM_IMAGE", "TOLLGATE_IMAGE")
SERVICES = ("litellm", "provider")


@dataclass(frozen=True)
class Basic:
    """Where it answers, and the one key."""

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
    """Bring it up and try it, local backends included; a TollgateError says which part failed.

    `configured` is the configuration to use in place of the files of `site`.
    """
    if configured is None:
        configuration.ensure_env(site)
    secrets.ensure_basic(site)
    loaded = configured or configuration.load(site)
    settings = loaded.settings
    compose = Compose.basic(site, settings.compose_project_name)
    with display.step("engine"):
        ensure_engine(display, allow_install=allow_engine_install, mirror=settings.debian_mirror or "")
    if not compose.any_running():
        _check_port(settings.gateway_port, port_hint)
    with display.step("images"):
        images = resolve(
            settings.image_source,
            site,
            display,
            ca_bundle=settings.ca_bundle,
            mirror=settings.debian_mirror or "",
            only=IMAGES,
            litellm=litellm_versions.chosen(site, settings),
        )
        engines = backends.provide(site, settings, loaded.gateway.backends, display)
    local = rendered_backends(site, loaded.gateway)
    files = [*render_basic(site.root, loaded.gateway, settings), *render_code(site.root), _environment()]
    published = publish.published_basic(site, settings)
    values = {
        "COMPOSE_PROJECT_NAME": compose.project,
        "TOLLGATE_RENDERED": str(site.rendered_dir),
        "GATEWAY_PORT": str(settings.gateway_port),
        "LITELLM_CONFIG_HASH": f"{digest(files)}-{publish.digest(published, 'basic')}",
        "COMPOSE_PROFILES": "backends" if local else "",
        **{name: images.images[name] for name in IMAGES},
        **engines,
    }
    lines = "".join(f"{name}='{value}'\n" for name, value in sorted(values.items()))
    if not local:
        (site.rendered_dir / BASIC_BACKENDS).unlink(missing_ok=True)
    write(site.rendered_dir, [*files, *local, Rendered(PurePosixPath("basic.env"), lines)])
    publish.write(site.rendered_dir / "secrets-basic", published, images.images["TOLLGATE_IMAGE"])
    with display.step("services"):
        bring_up("services", compose, [*SERVICES, *map(service, run_here(loaded.gateway.backends))], display)
    host, port = compose.address("litellm", 4000)
    basic = Basic(f"http://{host}:{port}", secrets.read(site, secrets.BASIC_KEY))
    with display.step("request"):
        first_request.ask(basic.url, basic.key, "its one key", f"see: docker compose -p {compose.project} logs litellm")
    return basic


def rendered_backends(site: Site, gateway: Gateway) -> list[Rendered]:
    path = PurePosixPath(BASIC_BACKENDS)
    return render_backends(site.root, site.home, gateway.backends, ["litellm"], ["default"], path)


def down(site: Site, display: Display) -> None:
    compose = Compose.basic(site, configuration.project(site))
    if not compose.rendered:
        raise TollgateError("the basic set-up is not here", "run `make basic`")
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
