#!/bin/sh
# Prints the key of tenant others (default) for Claude Code's apiKeyHelper.
# Install it as /usr/local/bin/tollgate-key, mode 0755. Claude Code runs it every 5 minutes.
# On other machines set TOLLGATE_KEY_FILE to a file (mode 0600) with the key.
file=${TOLLGATE_KEY_FILE:-/srv/tollgate/secrets/tenants/others}
exec cat "$file"
