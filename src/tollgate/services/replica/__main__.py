"""The replica's entrypoint: it reads /run/secrets, puts them into the environment for LiteLLM, and execs the server.

So `docker inspect` shows no secret: only the process has them in its environment. It runs with the Python of any
LiteLLM image, so it imports only the standard library and packages that LiteLLM itself needs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

SECRETS = Path("/run/secrets")
SERVER = "tollgate.services.replica.server"
TRUSTED = Path("/tmp/ca-bundle.pem")  # noqa: S108  a read-only container can write only here
# Seconds a request waits for a free database connection; LiteLLM's own default.
POOL_TIMEOUT = 60


def environment(secrets: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of the server: `inherited` plus every secret under LiteLLM's name for it.

    Without POSTGRES_HOST there is no database and no Redis (`make basic`), so LiteLLM must not get their settings.
    Raises OSError if a secret file is missing or unreadable, ValueError if it is empty, KeyError without a setting.
    """

    def read(name: str) -> str:
        value = (secrets / name).read_text().strip()
        if not value:
            raise ValueError(f"secret {name} is empty")
        return value

    provider_keys: dict[str, str] = json.loads(read("provider_keys.json"))
    environ = {**inherited, **provider_keys, "LITELLM_MASTER_KEY": read("master_key")}
    if "POSTGRES_HOST" in inherited:
        host, port, database, user = (inherited[f"POSTGRES_{part}"] for part in ("HOST", "PORT", "DB", "USER"))
        password = quote(read("postgres_password"), safe="")
        pool = f"connection_limit={inherited['POSTGRES_POOL']}&pool_timeout={POOL_TIMEOUT}"
        environ["DATABASE_URL"] = f"postgresql://{user}:{password}@{host}:{port}/{database}?{pool}"
        environ["REDIS_PASSWORD"] = read("redis_password")
        environ["LITELLM_SALT_KEY"] = read("salt_key")
        # Without this key, /metrics refuses every request (metrics_key.py).
        if (secrets / "metrics_key").exists():
            environ["TOLLGATE_METRICS_KEY"] = read("metrics_key")
        # Without this key, no request counts as let in by a gateway process (limits/ticket.py).
        if (secrets / "handover_key").exists():
            environ["TOLLGATE_HANDOVER_KEY"] = read("handover_key")
    return environ


def trusting(environ: Mapping[str, str], bundle: Path = TRUSTED) -> dict[str, str]:
    """Add the operator's certificate authorities to those of the image, in one file that every HTTP library reads."""
    given = environ.get("TOLLGATE_AUTHORITIES")
    if not given:
        return dict(environ)
    import certifi  # LiteLLM's image has it; only needed with the operator's authorities

    bundle.write_text(certifi.contents() + "\n" + Path(given).read_text())
    return {**environ, **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"), str(bundle))}


def main() -> None:
    try:
        environ = trusting(environment(SECRETS, os.environ))
    except (OSError, ValueError, KeyError) as error:
        # The container restarts until the file exists. The message names the file or variable, never a value.
        print(f"error: replica cannot start: {error}", file=sys.stderr)
        print("hint:  run `make deploy`: it writes all secrets and settings of a replica", file=sys.stderr)
        sys.exit(1)
    os.execve(sys.executable, [sys.executable, "-m", SERVER], environ)  # noqa: S606  no shell


if __name__ == "__main__":
    main()
