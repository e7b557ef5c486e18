"""The logins of the running database, and their passwords.

Postgres gets verifiers (RFC 5802), never a password: a statement that fails is logged as it was sent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets as random
from dataclasses import dataclass

from tollgate.config.secret import Secret
from tollgate.errors import StepError
from tollgate.stack.compose import Compose
from tollgate.stack.inside import inside
from tollgate.stack.live_secrets import DATABASE_USER, ROTATION_USER

ITERATIONS = 4096  # what Postgres itself uses


@dataclass(frozen=True)
class Database:
    compose: Compose

    def set_password(self, role: str, password: Secret) -> None:
        """For connections from now on; those that are open stay."""
        self._sql(f"ALTER ROLE {role} PASSWORD '{verifier(password)}';")

    def second_login(self, password: Secret) -> None:
        """A member of the first role that becomes it at once: what it makes belongs to the first."""
        self._sql(
            f"""
            SELECT 'CREATE ROLE {ROTATION_USER}' WHERE NOT EXISTS
              (SELECT FROM pg_roles WHERE rolname = '{ROTATION_USER}')\\gexec
            ALTER ROLE {ROTATION_USER} LOGIN PASSWORD '{verifier(password)}';
            GRANT {DATABASE_USER} TO {ROTATION_USER};
            ALTER ROLE {ROTATION_USER} SET role TO '{DATABASE_USER}';
            """  # noqa: S608  names of our own
        )
        self.check_login(ROTATION_USER, password)

    def drop_second_login(self) -> None:
        self._sql(f"DROP ROLE IF EXISTS {ROTATION_USER};")

    def check_login(self, role: str, password: Secret) -> None:
        """Raise StepError unless `role` can log in over the network with this password and then is the first role."""
        script = (
            "read -r PGPASSWORD; export PGPASSWORD; "
            f"psql -XAtq -h postgres -U {role} -d litellm -c 'SELECT current_user'"
        )
        found = inside(self.compose, "postgres", script, f"{password.reveal()}\n").strip()
        if found != DATABASE_USER:
            raise StepError("rotation", f"login {role} became {found}, not {DATABASE_USER}", "nothing uses it yet")

    def _sql(self, statements: str) -> None:
        # Through the server's own socket, which asks for no password.
        inside(self.compose, "postgres", f"psql -Xq -v ON_ERROR_STOP=1 -U {DATABASE_USER} -d litellm", statements)


def verifier(password: Secret, salt: bytes | None = None) -> str:
    """What Postgres keeps in place of a password."""
    salt = salt or random.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.reveal().encode(), salt, ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"
