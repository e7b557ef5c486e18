"""Renders the whole deployment: templates to var/rendered, secrets to their containers, and the hashes that tie them.

Each service carries a hash of its files and secrets as a label; Compose recreates a service when its label changes,
which it would not do for a changed file alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from tollgate import __version__
from tollgate.config.env import Settings
from tollgate.render import tls
from tollgate.render.backends import render_backends, run_here
from tollgate.render.backup import render_archiving, render_schedule
from tollgate.render.litellm import max_connections, pool_limit, render_litellm
from tollgate.render.nginx import render_nginx
from tollgate.render.observability import render_observability
from tollgate.render.output import Rendered, digest, prune, write
from tollgate.render.stack import (
    below,
    render_authorities,
    render_code,
    render_compose_env,
    render_mounted,
    render_replicas,
    replica_names,
)
from tollgate.site import Site
from tollgate.stack import litellm_versions, live_secrets, publish
from tollgate.stack.backup import metric, owner
from tollgate.stack.backup.files import salt_of
from tollgate.stack.configuration import Configuration
from tollgate.stack.configuration import left_out as models_left_out
from tollgate.stack.image_recipes import ACME
from tollgate.stack.images import ImageSet

NGINX_READ = "nginx-read"
COMPOSE_ENV = "compose.env"
# Which parts of var/rendered, and whose secrets, make a service what it is.
PARTS = {
    # nginx reads everything but its programs again when told to (nginx_to_reload).
    "NGINX": (("nginx/entrypoint.sh", "nginx/checks.sh"), ""),
    "LITELLM": (("litellm", "code"), "litellm"),
    "PROMETHEUS": (("prometheus",), ""),
    "ALERTMANAGER": (("alertmanager",), "alertmanager"),
    "LOKI": (("loki",), ""),
    "ALLOY": (("alloy",), ""),
    # Grafana itself looks for changed dashboards; only its provisioning needs a new container.
    "GRAFANA": (("grafana",), "grafana"),
    "POSTGRES": (("initdb",), "postgres"),
    "REDIS": (("redis",), "redis"),
    "ACME": (("acme",), ""),
    "POSTGRES_EXPORTER": ((), "postgres-exporter"),
    "REDIS_EXPORTER": ((), "redis-exporter"),
    "BACKUP": ((), "backup"),
}


def rendered_files(site: Site, configuration: Configuration, *, grafana: bool) -> list[Rendered]:
    """Everything but compose.env, as values; the same configuration gives the same bytes."""
    settings = configuration.settings
    webhook = (site.secrets_dir / publish.WEBHOOK).exists()
    return [
        *render_litellm(site.root, configuration.gateway, settings),
        *render_nginx(
            site.root,
            configuration.gateway.edge,
            settings.replicas,
            __version__,
            tls=configuration.certificate is not None,
            acme=settings.tls == "acme",
        ),
        *tls.render_tls(site.root, settings, configuration.certificate, configuration.acme_authorities),
        *render_observability(
            site.root, settings.replicas, settings.compose_project_name, grafana=grafana, webhook=webhook
        ),
        *render_code(site.root),
        *render_mounted(site.root),
        *render_authorities(configuration.authorities),
        render_replicas(
            site.root,
            settings.replicas,
            pool_limit(settings.replicas),
            proxy=settings.egress_proxy,
            authorities=bool(configuration.authorities),
        ),
        *render_archiving(site.root, settings),
        *render_schedule(
            site.root, site.home, settings, owner.name(site), salt_of(site), litellm_versions.chosen(site, settings)
        ),
        *render_backends(site.root, site.home, configuration.gateway.backends, replica_names(settings.replicas)),
    ]


def render(site: Site, configuration: Configuration, images: ImageSet) -> list[PurePosixPath]:
    """Write what changed and return it. Nothing is written unless everything rendered."""
    files = rendered_files(site, configuration, grafana=not images.unavailable)
    secrets = publish.published(site, configuration.settings)
    files.append(compose_env(site, configuration, images, files, secrets))
    files.append(left_out(configuration, images))
    changed = [Path("secrets") / path for path in _publish(site, secrets, images)]
    metric.prepare(site)
    owner.prepare(site)
    if not configuration.settings.backup_schedule:
        metric.forget_base(site)
    told = write(site.rendered_dir, [tls.metric(configuration.settings, configuration.certificate)])
    return [*write(site.rendered_dir, files), *told, *prune(site.rendered_dir, files), *map(PurePosixPath, changed)]


def republish(site: Site, settings: Settings, environment: Mapping[str, str], told: Collection[str] = ()) -> None:
    """Hand out the secrets of a running deployment anew, and nothing else; `environment` is its compose.env.

    Services in `told` know theirs already and keep their label; the others are recreated by the next `up`.
    """
    secrets, labels = publish.published(site, settings), live_secrets.Labels(site)
    publish.write(site.rendered_dir / "secrets", secrets, environment["TOLLGATE_IMAGE"])
    changed = {"DATABASE_USER": live_secrets.database_user(site)}
    for name, (_, service) in PARTS.items():
        if f"{name}_CONFIG_HASH" not in environment:
            continue  # deployed before the kit knew that service
        files, _, label = environment[f"{name}_CONFIG_HASH"].rpartition("-")
        now = publish.digest(secrets, service)
        if service in told:
            labels.keep(service, now, label)
        changed[f"{name}_CONFIG_HASH"] = f"{files}-{labels.of(service, now)}"
    file = site.rendered_dir / COMPOSE_ENV
    lines = file.read_text().splitlines()
    for number, line in enumerate(lines):
        name = line.partition("=")[0]
        if name in changed:
            lines[number] = f"{name}='{changed[name]}'"
    write(site.rendered_dir, [Rendered(PurePosixPath(COMPOSE_ENV), "\n".join(lines) + "\n")])


def nginx_to_reload(site: Site) -> bool:
    """Whether nginx's files differ from those it last read."""
    mark = site.rendered_dir / NGINX_READ
    return not mark.is_file() or mark.read_text() != _nginx_digest(site)


def nginx_has_read_it(site: Site) -> None:
    (site.rendered_dir / NGINX_READ).write_text(_nginx_digest(site))


def _nginx_digest(site: Site) -> str:
    directory = site.rendered_dir / "nginx"
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    files = [Rendered(PurePosixPath(path.relative_to(directory)), path.read_text()) for path in paths]
    # The certificate belongs to nginx's user and may be unreadable here: by what was published.
    return digest([*files, Rendered(PurePosixPath("tls"), publish.known(site.rendered_dir / "secrets", "nginx"))])


def compose_env(
    site: Site,
    configuration: Configuration,
    images: ImageSet,
    files: Sequence[Rendered],
    secrets: Sequence[publish.Published],
) -> Rendered:
    settings = configuration.settings
    values = {
        "COMPOSE_PROJECT_NAME": settings.compose_project_name,
        "TOLLGATE_RENDERED": str(site.rendered_dir),
        "GATEWAY_BIND": settings.gateway_bind,
        "GATEWAY_PORT": str(settings.gateway_port),
        "TLS_BIND": settings.tls_bind,
        "TLS_PORT": str(settings.tls_port),
        "TLS_HTTP_PORT": str(settings.tls_http_port),
        "ADMIN_PORT": str(settings.admin_port),
        "GRAFANA_PORT": str(settings.grafana_port),
        "PROMETHEUS_PORT": str(settings.prometheus_port),
        "LITELLM_VERSION": litellm_versions.chosen(site, settings),
        "DATABASE_USER": live_secrets.database_user(site),
        "POSTGRES_MAX_CONNECTIONS": str(max_connections(settings.replicas)),
        # Compose reads this one itself: services of a profile whose images cannot be had are left out.
        "COMPOSE_PROFILES": ",".join(_profiles(configuration, images)),
    }
    hashes, labels = {}, live_secrets.Labels(site)
    for name, (directories, service) in PARTS.items():
        known = labels.of(service, publish.digest(secrets, service))
        hashes[f"{name}_CONFIG_HASH"] = f"{digest(below(files, *directories))}-{known}"
    # Compose wants every variable filled, also those of services whose profile is off.
    references = {**dict.fromkeys(images.unavailable, "unavailable"), **images.images}
    references.setdefault(ACME, "unused")
    return render_compose_env(values, references, hashes)


def _profiles(configuration: Configuration, images: ImageSet) -> list[str]:
    backends = ["backends"] if run_here(configuration.gateway.backends) else []
    return backends if images.unavailable else ["grafana", *backends]


def left_out(configuration: Configuration, images: ImageSet) -> Rendered:
    """What `status` repeats: models without a key, services without an image."""
    lines = images_left_out(images)
    lines += models_left_out(configuration.catalogue)
    return Rendered(PurePosixPath("left-out.txt"), "".join(f"{line}\n" for line in lines))


def images_left_out(images: ImageSet) -> list[str]:
    """One line for each reason; Grafana, Loki and Alloy come together or not at all."""
    names: dict[str, list[str]] = {}
    for name, reason in sorted(images.unavailable.items()):
        names.setdefault(reason, []).append(name.removesuffix("_IMAGE").lower().replace("_", "-"))
    return [f"left out: {', '.join(services)}: {reason}" for reason, services in names.items()]


def _publish(site: Site, secrets: Sequence[publish.Published], images: ImageSet) -> list[Path]:
    return publish.write(site.rendered_dir / "secrets", secrets, images.images["TOLLGATE_IMAGE"])
