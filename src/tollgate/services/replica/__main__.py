"""The replica's entrypoint: read /run/secrets, export what LiteLLM reads from its environment, exec the server.

`docker inspect` therefore shows no secret: the values exist only in the environment of the process itself. It runs
with the Python of whatever LiteLLM image is used, so it imports nothing but the standard library and what LiteLLM
itself stands on.
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
TRUSTED = Path("/tmp/ca-bundle.pem")  # noqa: S108  the only place a read-only container may write
# Seconds a request waits for a free database connection; LiteLLM's own default.
POOL_TIMEOUT = 60


def environment(secrets: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of the server: `inherited` plus every secret under the name LiteLLM looks for.

    Without POSTGRES_HOST there is neither database nor Redis (`make basic`), and LiteLLM must not look for one.
    Raises OSError when a secret file is missing or cannot be read, ValueError when one is empty.
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
    return environ


def trusting(environ: Mapping[str, str], bundle: Path = TRUSTED) -> dict[str, str]:
    """With the operator's authorities beside those of this image, in one file that every HTTP library here reads."""
    given = environ.get("TOLLGATE_AUTHORITIES")
    if not given:
        return dict(environ)
    import certifi  # LiteLLM's image has it; without authorities of an operator's nobody needs it

    bundle.write_text(certifi.contents() + "\n" + Path(given).read_text())
    return {**environ, **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"), str(bundle))}


def main() -> None:
    try:
        environ = trusting(environment(SECRETS, os.environ))
    except (OSError, ValueError, KeyError) as error:
        # The container restarts until the file is there; the message names the file or variable, never a value.
        print(f"error: replica cannot start: {error}", file=sys.stderr)
        print("hint:  run `make deploy`, which writes every secret and setting a replica needs", file=sys.stderr)
        sys.exit(1)
    os.execve(sys.executable, [sys.executable, "-m", SERVER], environ)  # noqa: S606  no shell


if __name__ == "__main__":
    main()
