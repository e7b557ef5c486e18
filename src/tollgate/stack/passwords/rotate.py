"""Rotates the passwords of the running stack: LiteLLM's master key, Redis, Postgres. No request is lost.

Replicas read secrets at start and are recreated one after another. While some replicas still have the old secrets:

    Redis       accepts both passwords, because a Redis user may have several
    Postgres    a role has one password, and pools open connections at any time. Replicas therefore move to a second
                login (a member of the first role), the first role's password changes, and they move back: two rounds
    master key  each replica accepts its own; tenants never use it, and our own commands wait for the lock

The salt key is never rotated: it encrypts the credentials that LiteLLM stores (docs/facts.md 6). The files of
secrets/changing.py show how far an interrupted run came. The next run continues from there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tollgate.config.secret import Secret
from tollgate.errors import StepError, TollgateError
from tollgate.reconcile.desired import key_hash
from tollgate.stack.containers import optional
from tollgate.stack.containers.bring_up import bring_up
from tollgate.stack.containers.compose import DATABASES, needed
from tollgate.stack.containers.exec import run_in
from tollgate.stack.deploy import render
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.progress import Progress
from tollgate.stack.passwords.database import Database
from tollgate.stack.secrets import changing
from tollgate.stack.secrets import store as secrets

STEP = "rotation"
MASTER, REDIS, POSTGRES, MONITOR = (
    "litellm_master_key",
    "redis_password",
    "postgres_password",
    "postgres_monitor_password",
)
ROTATED = (MASTER, REDIS, POSTGRES, MONITOR)
UNDER_WAY = "rotation~under-way"
# The Redis channel on which LiteLLM's replicas drop cached keys (proxy/common_utils/auth_cache_invalidation_pubsub.py).
EVICTIONS = "litellm_proxy.auth_cache_invalidation"


@dataclass
class PasswordRotation:
    """One rotation of the secrets `names`. Every method can be repeated."""

    deployment: Deployment
    progress: Progress
    names: tuple[str, ...] = ROTATED

    def __post_init__(self) -> None:
        self.site, self.compose = self.deployment.site, self.deployment.compose

    def run(self) -> list[str]:
        """Rotate and return the names of the new secrets. TollgateError on a failure; the next run continues."""
        self.database = Database(self.compose)
        names = self.begin()
        if changing.next_of(self.site, REDIS).exists():
            self.add_redis_password()
            changing.promote(self.site, REDIS, keep_old=True)
        if changing.next_of(self.site, MONITOR).exists():
            self.database.set_password("tollgate_monitor", secrets.read_file(changing.next_of(self.site, MONITOR)))
            changing.promote(self.site, MONITOR)
        if changing.next_of(self.site, MASTER).exists():
            changing.promote(self.site, MASTER, keep_old=True)
        if changing.next_of(self.site, POSTGRES).exists():
            self.create_second_login()
        self.recreate_services()
        if changing.next_of(self.site, POSTGRES).exists():
            self.change_first_login()
        if changing.rotation_password(self.site):
            self.site.secret(changing.ROTATION).unlink()
            self.recreate_services()
        self.end()
        return names

    def begin(self) -> list[str]:
        """Make the new secrets. If the marker file exists, use those of the interrupted run instead."""
        marker = self.site.secret(UNDER_WAY)
        if marker.exists():
            self.progress.say("continuing the interrupted rotation")
            return secrets.read_file(marker).reveal().split()
        for spec in secrets.GENERATED:
            path = changing.next_of(self.site, spec.name)
            if spec.name in self.names:
                path.unlink(missing_ok=True)
                secrets.store(path, secrets.generate(spec.prefix))
        secrets.store(marker, Secret(" ".join(self.names)))
        return list(self.names)

    def add_redis_password(self) -> None:
        """Add the new password to Redis's default user, and to the file that Redis reads after a restart."""
        new = secrets.read_file(changing.next_of(self.site, REDIS))
        self.set_redis_user(f">{new.reveal()}")
        self.republish()
        script = "read -r REDISCLI_AUTH; export REDISCLI_AUTH; redis-cli ping"
        if run_in(self.compose, "redis", script, f"{new.reveal()}\n").strip() != "PONG":
            raise StepError(STEP, "Redis did not accept the new password", "run this again; the old one still works")

    def create_second_login(self) -> None:
        """Create a login with the first one's rights. Replicas use it while the first one's password changes."""
        path = self.site.secret(changing.ROTATION)
        if not path.exists():
            secrets.store(path, secrets.generate())
        self.database.second_login(secrets.read_file(path))

    def change_first_login(self) -> None:
        password = secrets.read_file(changing.next_of(self.site, POSTGRES))
        self.database.set_password(changing.DATABASE_USER, password)
        self.database.check_login(changing.DATABASE_USER, password)
        changing.promote(self.site, POSTGRES)

    def recreate_services(self) -> None:
        """Publish the secrets on disk and recreate the services with older ones, replicas one after another."""
        self.republish()
        # The databases are included although their labels stay. Without them Compose computes another configuration
        # for the services that depend on them.
        for line in bring_up(STEP, self.compose, needed(self.compose.services()), self.progress):
            self.progress.say(line)
        started, not_up = optional.bring_up(STEP, self.compose, self.progress)
        for line in [*started, *map(str, not_up)]:
            self.progress.say(line)

    def end(self) -> None:
        """Remove the old secrets, which no service uses any more."""
        self.database.drop_second_login()
        old = changing.old_of(self.site, REDIS)
        if old.exists():
            self.set_redis_user(f"<{secrets.read_file(old).reveal()}")
            old.unlink()
            self.republish()
        self.forget_master_key()
        self.site.secret(UNDER_WAY).unlink()

    def forget_master_key(self) -> None:
        """Remove the old master key from LiteLLM's caches.

        LiteLLM caches accepted keys by hash, in Redis and in each replica's memory, for `user_api_key_cache_ttl`.
        Without this the old master key would work for ten more minutes.
        """
        old = changing.old_of(self.site, MASTER)
        if not old.exists():
            return
        digest = key_hash(secrets.read_file(old))
        self.redis(f"DEL {digest}")
        self.redis(f"PUBLISH {EVICTIONS} '{json.dumps({'cache_key': digest})}'")
        old.unlink()

    def republish(self) -> None:
        render.republish(self.deployment, told=DATABASES)

    def set_redis_user(self, change: str) -> None:
        answer = self.redis(f"ACL SETUSER default {change}")
        # An interrupted run may have removed the password already, so "does not exist" is a success.
        if answer != "OK" and "not exist" not in answer:
            # Redis's answer quotes the password, so it is not shown.
            raise StepError(
                STEP, "Redis refused to change its passwords", "run this again; the current passwords still work"
            )

    def redis(self, command: str) -> str:
        """Run one command. It goes through standard input, because every user of the host can see arguments."""
        script = 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli'
        return run_in(self.compose, "redis", script, f"{command}\n").strip()


def chosen(words: str) -> tuple[str, ...]:
    """Parse `--only`: names of files in secrets/, separated by commas. Empty means all. TollgateError for others."""
    names = [word.strip() for word in words.split(",")] if words else list(ROTATED)
    for name in names:
        if name == "litellm_salt_key":
            raise TollgateError(
                "litellm_salt_key cannot be rotated: LiteLLM could not decrypt the credentials that it stores",
                "see docs/guides/tenants.md",
            )
        if name not in ROTATED:
            raise TollgateError(f"--only: expected {', '.join(ROTATED)}, found {name[:60]!a}")
    return tuple(names)
