"""Renders the whole deployment: templates into var/rendered, secrets for their containers, and a hash for each service.

The hash covers the service's files and secrets, and is a label of the service. Compose recreates a service when its
label changes. It does not do so if only a file changes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from tollgate import __version__
from tollgate.render import tls
from tollgate.render.backends import render_backends
from tollgate.render.backup import render_archiving, render_schedule
from tollgate.render.gateway import gateway_names, render_gateways
from tollgate.render.litellm import max_connections, pool_limit, render_litellm
from tollgate.render.nginx import render_nginx
from tollgate.render.observability import render_observability
from tollgate.render.output import Rendered, digest, prune, write
from tollgate.render.receivers import Receivers
from tollgate.render.stack import (
    USERS_FILE,
    below,
    render_authorities,
    render_code,
    render_compose_env,
    render_mounted,
    render_order,
    render_release,
    render_replicas,
    replica_names,
)
from tollgate.render.times import Times
from tollgate.render.watchers import LATE, NO_IMAGE, ON_REQUEST, running
from tollgate.site import Site
from tollgate.stack.backup import metric
from tollgate.stack.backup.files import salt_of
from tollgate.stack.configuration import Configuration
from tollgate.stack.containers import drain
from tollgate.stack.deploy import late, left_out, local_models
from tollgate.stack.deployment import Deployment
from tollgate.stack.host import owner
from tollgate.stack.images import litellm as litellm_versions
from tollgate.stack.images.recipes import ENGINES
from tollgate.stack.images.resolve import ImageSet
from tollgate.stack.secrets import changing, publish

# For each service: the parts of var/rendered in its hash, and the service whose secrets are in its hash.
PARTS = {
    # A reload (nginx_to_reload) makes nginx read all its files again, except these programs.
    "NGINX": (("nginx/entrypoint.sh", "nginx/checks.sh"), ""),
    "LITELLM": (("litellm", "code"), "litellm"),
    # Not gateway/replicas: a process reads it again when it changes.
    "GATEWAY": (("gateway/catalogue.json", "gateway/console.json", "litellm/requests.json"), "gateway"),
    "PROMETHEUS": (("prometheus",), "prometheus"),
    "ALERTMANAGER": (("alertmanager",), "alertmanager"),
    "LOKI": (("loki",), ""),
    "ALLOY": (("alloy",), ""),
    # Grafana itself notices changed dashboards. Only changed provisioning needs a new container.
    "GRAFANA": (("grafana",), "grafana"),
    "POSTGRES": (("initdb",), "postgres"),
    "REDIS": (("redis",), "redis"),
    "ACME": (("acme",), ""),
    "POSTGRES_EXPORTER": ((), "postgres-exporter"),
    "REDIS_EXPORTER": ((), "redis-exporter"),
    "BACKUP": ((), "backup"),
}


def rendered_files(site: Site, configuration: Configuration, watchers: Collection[str]) -> list[Rendered]:
    """Every file except compose.env, as values. The same configuration gives the same bytes.

    `watchers` are the services of compose/observability.yaml that run.
    """
    settings = configuration.settings
    receivers = Receivers.of(settings, webhook=site.secret(publish.WEBHOOK).exists())
    times = Times.of(configuration.gateway.edge.read_timeout_s)
    return [
        *render_litellm(site.root, configuration.gateway, settings),
        render_release(litellm_versions.chosen(site, settings)),
        *render_nginx(
            site.root,
            configuration.gateway.edge,
            settings.replicas,
            __version__,
            gateways=settings.gateways,
            direct=settings.bypass_litellm_enabled,
            tls=configuration.certificate is not None,
            acme=settings.tls == "acme",
        ),
        *tls.render_tls(site.root, settings, configuration.certificate, configuration.acme_authorities),
        *render_observability(
            site.root,
            settings.replicas,
            settings.compose_project_name,
            gateways=settings.gateways,
            watchers=watchers,
            receivers=receivers,
            grafana_port=settings.grafana_port,
            proxied=bool(settings.egress_proxy),
            authorities=configuration.authorities,
        ),
        *render_gateways(site.root, configuration.gateway, settings),
        *render_code(site.root),
        *render_mounted(site.root),
        *render_authorities(configuration.authorities),
        render_replicas(
            site.root,
            settings.replicas,
            pool_limit(settings.replicas),
            times=times,
            proxy=settings.egress_proxy,
            authorities=bool(configuration.authorities),
        ),
        render_order(site.root, settings.replicas, settings.gateways, backup=bool(settings.backup_schedule)),
        *render_archiving(site.root, settings),
        *render_schedule(
            site.root, site.home, settings, owner.name(site), salt_of(site), litellm_versions.chosen(site, settings)
        ),
        *render_backends(
            site.root,
            site.home,
            configuration.gateway.backends,
            # A gateway process calls a backend itself, and hands some requests to a replica, which calls it too.
            [*replica_names(settings.replicas), *gateway_names(settings.gateways)],
        ),
    ]


def render(site: Site, configuration: Configuration, images: ImageSet) -> list[PurePosixPath]:
    """Write the changed files and return their paths. If a template fails, nothing is written."""
    files = rendered_files(site, configuration, watchers(configuration, images))
    secrets = publish.published(site, configuration.settings)
    files.append(compose_env(site, configuration, images, files, secrets))
    files.append(left_out.render(site, configuration, images))
    changed = [Path("secrets") / path for path in _publish(site, secrets, images)]
    metric.prepare(site)
    drain.prepare(site.rendered_dir)
    owner.prepare(site)
    if not configuration.settings.backup_schedule:
        metric.forget_base(site)
    metrics = write(site.rendered_dir, [tls.metric(configuration.settings, configuration.certificate)])
    return [*write(site.rendered_dir, files), *metrics, *prune(site.rendered_dir, files), *map(PurePosixPath, changed)]


def republish(deployment: Deployment, told: Collection[str] = ()) -> None:
    """Publish only the secrets of a running deployment again.

    Services in `told` already use the new secrets and keep their label. The next `up` recreates the others.
    """
    site, environment = deployment.site, deployment.compose.environment
    secrets, labels = publish.published(site, deployment.settings), changing.Labels(site)
    publish.write(site.published_dir, secrets, environment["TOLLGATE_IMAGE"])
    changed = {"DATABASE_USER": changing.database_user(site)}
    for name, (_, service) in PARTS.items():
        if f"{name}_CONFIG_HASH" not in environment:
            continue  # an older kit without this service made the deployment
        files, _, label = environment[f"{name}_CONFIG_HASH"].rpartition("-")
        now = publish.digest(secrets, service)
        if service in told:
            labels.keep(service, now, label)
        changed[f"{name}_CONFIG_HASH"] = f"{files}-{labels.of(service, now)}"
    file = site.compose_env
    lines = file.read_text().splitlines()
    for number, line in enumerate(lines):
        name = line.partition("=")[0]
        if name in changed:
            lines[number] = f"{name}='{changed[name]}'"
    write(site.rendered_dir, [Rendered(PurePosixPath(site.compose_env.name), "\n".join(lines) + "\n")])


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
        # An older kit's compose.env lacks this variable. So Compose refuses to use it with this kit's files, until a
        # deploy has set the owners of volumes and secrets.
        "TOLLGATE_USERS": str(site.rendered(USERS_FILE)),
        "GATEWAY_BIND": settings.gateway_bind,
        "GATEWAY_PORT": str(settings.gateway_port),
        "TLS_BIND": settings.tls_bind,
        "TLS_PORT": str(settings.tls_port),
        "TLS_HTTP_PORT": str(settings.tls_http_port),
        "ADMIN_PORT": str(settings.admin_port),
        "GRAFANA_PORT": str(settings.grafana_port),
        "PROMETHEUS_PORT": str(settings.prometheus_port),
        "LITELLM_VERSION": litellm_versions.chosen(site, settings),
        # For Alertmanager. Replicas and gateway processes have it in their own files.
        "EGRESS_PROXY": settings.egress_proxy or "",
        "PROVIDER_UNDER_TEST": "yes" if site.under_test else "no",
        "DATABASE_USER": changing.database_user(site),
        **Times.of(configuration.gateway.edge.read_timeout_s).variables,
        "POSTGRES_MAX_CONNECTIONS": str(max_connections(settings.replicas)),
        # Compose itself reads this variable, and leaves out a watcher whose profile is missing here.
        "COMPOSE_PROFILES": ",".join(_profiles(configuration, images)),
    }
    hashes, labels = {}, changing.Labels(site)
    for name, (directories, service) in PARTS.items():
        known = labels.of(service, publish.digest(secrets, service))
        hashes[f"{name}_CONFIG_HASH"] = f"{digest(below(files, *directories))}-{known}"
    # Compose needs a value for every variable, also for services whose profile is off.
    late_ones = (LATE - ENGINES) | local_models.images(configuration.gateway.backends)
    references = {**dict.fromkeys(late_ones, NO_IMAGE), **images.images}
    return render_compose_env(values, references, hashes)


def _profiles(configuration: Configuration, images: ImageSet) -> list[str]:
    backends = local_models.able(configuration.gateway.backends, images)
    wanted = late.wanted(configuration, ()) & images.images.keys()
    on_request = [service for service, image in ON_REQUEST.items() if image in wanted]
    return [*watchers(configuration, images), *on_request, *backends]


def watchers(configuration: Configuration, images: ImageSet) -> list[str]:
    """The services of compose/observability.yaml that this deployment runs."""
    return running(images.unavailable, grafana=configuration.settings.grafana == "on")


def _publish(site: Site, secrets: Sequence[publish.Published], images: ImageSet) -> list[Path]:
    return publish.write(site.published_dir, secrets, images.images["TOLLGATE_IMAGE"])
