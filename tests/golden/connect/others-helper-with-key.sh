#!/bin/sh
# Prints the key of tenant others (default) for Claude Code's apiKeyHelper.
# Install it as /usr/local/bin/tollgate-key, mode 0755. Claude Code runs it every 5 minutes.
# It contains the key: install it with mode 0700, owned by the person who uses it.
printf '%s\n' sk-not-a-real-key-of-anybody
