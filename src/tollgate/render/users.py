"""The user that each service runs as: one for each, and none that the host, a package or another service uses.

Debian keeps 65520 to 65533 free (policy 9.2.2), systemd does not hand them out (its UIDS-GIDS page), and they exist
under Docker's `userns-remap`, which maps 65536 users. A process with a service's user can read its environment,
memory and secret files below /proc.

The Compose files name the same numbers; tests/unit/render/test_users.py compares them.
"""

from __future__ import annotations

from types import MappingProxyType

USERS = MappingProxyType(
    {
        "nginx": 65520,  # and acme, which writes the key that nginx reads
        "postgres": 65521,
        "redis": 65522,
        "migrate": 65523,
        "provider": 65524,
        "litellm": 65525,
        "prometheus": 65526,
        "alertmanager": 65527,
        "postgres-exporter": 65528,
        "redis-exporter": 65529,
        "nginx-exporter": 65530,
        "node-exporter": 65531,
        # Model servers of this machine, and programs of an image that a deploy runs once without network. None has a
        # secret.
        "backends": 65532,
        "gateway": 65533,
    }
)
# Services whose images insist on a user of their own.
IMAGES_OWN = MappingProxyType({"grafana": 472, "alloy": 473, "loki": 10001})
# The volumes of each service: Compose's volume, and its path in the container.
VOLUMES = MappingProxyType(
    {
        "postgres": {"postgres-data": "/var/lib/postgresql/data", "postgres-archive": "/var/lib/pgbackrest"},
        "redis": {"redis-data": "/data"},
        "gateway": {"gateway-journal": "/var/lib/tollgate-journal"},
        "prometheus": {"prometheus-data": "/prometheus"},
        "alertmanager": {"alertmanager-data": "/alertmanager"},
        "acme": {
            "acme-data": "/data",
            "acme-challenge": "/challenge",
            "acme-served": "/served",
            "acme-metrics": "/metrics",
        },
    }
)


def passwd() -> str:
    """/etc/passwd of a container whose programs ask what their user is called, as initdb does."""
    known = {"root": 0, **USERS, "nobody": 65534}
    return "".join(f"{name}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n" for name, uid in known.items())
