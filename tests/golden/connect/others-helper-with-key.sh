#!/bin/sh
# Prints the key of tenant others (default) for Claude Code's apiKeyHelper.
# Install it as /usr/local/bin/tollgate-key, mode 0755. It is asked every 5 minutes.
# It holds the key: install it with mode 0700, owned by the one person who uses it.
printf '%s\n' sk-not-a-real-key-of-anybody
