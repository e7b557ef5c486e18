"""Changes logins and passwords of the running database.

Postgres gets verifiers (RFC 5802) and never a password, because it logs the text of failed statements.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets as random
from dataclasses import dataclass

from tollgate.config.secret import Secret
from tollgate.errors import StepError
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.exec import run_in
from tollgate.stack.secrets.changing import DATABASE_USER, ROTATION_USER

ITERATIONS = 4096  # what Postgres itself uses


@dataclass(frozen=True)
class Database:
    compose: Compose

    def set_password(self, role: str, password: Secret) -> None:
        """Set the password for new connections. Open connections continue."""
        self._sql(f"ALTER ROLE {role} PASSWORD '{verifier(password)}';")

    def second_login(self, password: Secret) -> None:
        """Create a second login. Its sessions act as the first role, so the first role owns everything it creates."""
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
        """Log in over the network as `role`. StepError if this fails or the session does not act as the first role."""
        script = (
            "read -r PGPASSWORD; export PGPASSWORD; "
            f"psql -XAtq -h postgres -U {role} -d litellm -c 'SELECT current_user'"
        )
        user = run_in(self.compose, "postgres", script, f"{password.reveal()}\n").strip()
        if user != DATABASE_USER:
            raise StepError(
                "rotation",
                f"login {role}: expected the user {DATABASE_USER}, found {user}",
                "run this again; no service uses this login yet",
            )

    def _sql(self, statements: str) -> None:
        # The server's own socket needs no password.
        run_in(self.compose, "postgres", f"psql -Xq -v ON_ERROR_STOP=1 -U {DATABASE_USER} -d litellm", statements)


def verifier(password: Secret, salt: bytes | None = None) -> str:
    """The SCRAM verifier that Postgres stores instead of the password."""
    salt = salt or random.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.reveal().encode(), salt, ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"
