"""New passwords for the running stack itself: LiteLLM's master key, Redis, Postgres. No request is lost meanwhile.

Replicas read secrets when they start, and are recreated one after another. So for as long as some have the old ones:

    Redis       accepts both passwords: a user of its may have several
    Postgres    a role has one password and pools open connections all the time, so replicas move to a second login
                (a member of the first role), the first one's password changes, and they move back: two rounds
    master key  each replica accepts its own; tenants never use it, and our own commands wait for the lock

Never rotated: the salt key, which LiteLLM's stored credentials are encrypted with (docs/facts.md 6). How far an
interrupted run came is in live_secrets.py's files; run again, it goes on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tollgate.config.secret import Secret
from tollgate.errors import StepError, TollgateError
from tollgate.reconcile.desired import key_hash
from tollgate.site import Site
from tollgate.stack import configuration, live_secrets, rendering, secrets
from tollgate.stack.bring_up import bring_up
from tollgate.stack.compose import DATABASES, MIGRATE, Compose
from tollgate.stack.database_login import Database
from tollgate.stack.inside import inside
from tollgate.stack.progress import Progress

STEP = "rotation"
MASTER, REDIS, POSTGRES, MONITOR = (
    "litellm_master_key",
    "redis_password",
    "postgres_password",
    "postgres_monitor_password",
)
ROTATED = (MASTER, REDIS, POSTGRES, MONITOR)
GOING_ON = "rotation~under-way"
# Where LiteLLM's replicas tell each other what to forget (proxy/common_utils/auth_cache_invalidation_pubsub.py).
EVICTIONS = "litellm_proxy.auth_cache_invalidation"


@dataclass
class PasswordRotation:
    """One run over `names`. Each method may be repeated."""

    site: Site
    compose: Compose
    progress: Progress
    names: tuple[str, ...] = ROTATED

    def run(self) -> list[str]:
        """Rotate; return the names of the secrets that are new. Raises TollgateError; run again, it goes on."""
        self.database = Database(self.compose)
        waiting = self.begin()
        if live_secrets.next_of(self.site, REDIS).exists():
            self.redis_accepts_both()
            live_secrets.promote(self.site, REDIS, keep_old=True)
        if live_secrets.next_of(self.site, MONITOR).exists():
            self.database.set_password("tollgate_monitor", secrets.read_file(live_secrets.next_of(self.site, MONITOR)))
            live_secrets.promote(self.site, MONITOR)
        if live_secrets.next_of(self.site, MASTER).exists():
            live_secrets.promote(self.site, MASTER, keep_old=True)
        if live_secrets.next_of(self.site, POSTGRES).exists():
            self.second_login()
        self.everybody_reads()
        if live_secrets.next_of(self.site, POSTGRES).exists():
            self.first_login_changes()
        if live_secrets.rotation_password(self.site):
            (self.site.secrets_dir / live_secrets.ROTATION).unlink()
            self.everybody_reads()
        self.end()
        return waiting

    def begin(self) -> list[str]:
        """Make what is to come, or find what an interrupted run had made; the marker tells the two apart."""
        marker = self.site.secrets_dir / GOING_ON
        if marker.exists():
            self.progress.say("going on with the rotation that was interrupted")
            return secrets.read_file(marker).reveal().split()
        for spec in secrets.GENERATED:
            path = live_secrets.next_of(self.site, spec.name)
            if spec.name in self.names:
                path.unlink(missing_ok=True)
                secrets.store(path, secrets.generate(spec.prefix))
        secrets.store(marker, Secret(" ".join(self.names)))
        return list(self.names)

    def redis_accepts_both(self) -> None:
        """A second password for everybody's user, and in what Redis reads should it restart."""
        new = secrets.read_file(live_secrets.next_of(self.site, REDIS))
        self.set_redis_user(f">{new.reveal()}")
        self.republish()
        script = "read -r REDISCLI_AUTH; export REDISCLI_AUTH; redis-cli ping"
        if inside(self.compose, "redis", script, f"{new.reveal()}\n").strip() != "PONG":
            raise StepError(STEP, "Redis did not accept the new password", "the old one works on; run this again")

    def second_login(self) -> None:
        """A login that may do what the first one may, for the time in which that has no password both sides know."""
        path = self.site.secrets_dir / live_secrets.ROTATION
        if not path.exists():
            secrets.store(path, secrets.generate())
        self.database.second_login(secrets.read_file(path))

    def first_login_changes(self) -> None:
        password = secrets.read_file(live_secrets.next_of(self.site, POSTGRES))
        self.database.set_password(live_secrets.DATABASE_USER, password)
        self.database.check_login(live_secrets.DATABASE_USER, password)
        live_secrets.promote(self.site, POSTGRES)

    def everybody_reads(self) -> None:
        """Hand out what is on disk; whoever has something else is recreated, replicas one after another."""
        self.republish()
        # With the databases, whose labels stay: Compose makes another configuration of what depends on them without.
        services = [name for name in self.compose.services() if name != MIGRATE]
        for line in bring_up(STEP, self.compose, services, self.progress):
            self.progress.say(line)

    def end(self) -> None:
        """Nobody uses the old ones any more: take them away."""
        self.database.drop_second_login()
        old = live_secrets.old_of(self.site, REDIS)
        if old.exists():
            self.set_redis_user(f"<{secrets.read_file(old).reveal()}")
            old.unlink()
            self.republish()
        self.forget_master_key()
        (self.site.secrets_dir / GOING_ON).unlink()

    def forget_master_key(self) -> None:
        """LiteLLM keeps whom it has let in under the key's hash, in Redis and in each replica's memory, for
        `user_api_key_cache_ttl`: without this the old master key would go on administrating for ten minutes."""
        old = live_secrets.old_of(self.site, MASTER)
        if not old.exists():
            return
        digest = key_hash(secrets.read_file(old))
        self.redis(f"DEL {digest}")
        self.redis(f"PUBLISH {EVICTIONS} '{json.dumps({'cache_key': digest})}'")
        old.unlink()

    def republish(self) -> None:
        settings = configuration.settings(self.site)
        rendering.republish(self.site, settings, self.compose.environment, told=DATABASES)

    def set_redis_user(self, change: str) -> None:
        answer = self.redis(f"ACL SETUSER default {change}")
        # Removing what is not there is an error to Redis and none to us: an interrupted run has removed it.
        if answer != "OK" and "not exist" not in answer:
            # Its answer quotes what it was sent, so it is not shown.
            raise StepError(STEP, "Redis refused to change its passwords", "what it accepted before it still accepts")

    def redis(self, command: str) -> str:
        """One command, through standard input: an argument would be seen by every user of the host."""
        script = 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli'
        return inside(self.compose, "redis", script, f"{command}\n").strip()


def chosen(words: str) -> tuple[str, ...]:
    """`--only`: names as in secrets/, separated by commas."""
    names = [word.strip() for word in words.split(",")] if words else list(ROTATED)
    for name in names:
        if name == "litellm_salt_key":
            raise TollgateError(
                "litellm_salt_key cannot be rotated: what LiteLLM keeps encrypted could not be read any more",
                "see docs/guides/tenants.md",
            )
        if name not in ROTATED:
            raise TollgateError(f"--only: expected {', '.join(ROTATED)}, found {name[:60]!a}")
    return tuple(names)
