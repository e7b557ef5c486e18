#!/bin/sh
# Prints the key of tenant claude (default) for Claude Code's apiKeyHelper.
# Install it as /usr/local/bin/tollgate-key, mode 0755. It is asked every 5 minutes.
# Elsewhere than on the gateway's machine: TOLLGATE_KEY_FILE names a file (mode 0600) with the key.
file=${TOLLGATE_KEY_FILE:-/srv/tollgate/secrets/tenants/claude}
exec cat "$file"
