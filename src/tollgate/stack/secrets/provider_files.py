"""Provider credentials that the operator puts into files below secrets/, because they do not fit a line of .env."""

from __future__ import annotations

import json

from tollgate.config.gateway.providers import VERTEX_CREDENTIALS
from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.site import Site

VERTEX_FILE = "vertex_credentials.json"


def credentials(site: Site) -> dict[str, Secret]:
    """Environment variable to credentials, for the files that exist. Error messages never quote a file's content."""
    path = site.secret(VERTEX_FILE)
    if not path.exists():
        return {}
    hint = "replace it with the service account's key file from Google, unchanged; or remove it"
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise TollgateError(f"{path}: {error.strerror or error}", hint) from None
    except ValueError:
        raise TollgateError(f"{path}: expected JSON", hint) from None
    if not isinstance(content, dict) or not content.get("type"):
        raise TollgateError(f"{path}: expected Google credentials, found JSON without a type", hint)
    return {VERTEX_CREDENTIALS: Secret(json.dumps(content))}
