# Claude Code through Tollgate: tenant alias, key default
# This reads the key from its file on this machine. On other machines write the key itself here.
export ANTHROPIC_BASE_URL=http://gateway.example:4000
export ANTHROPIC_AUTH_TOKEN="$(cat /srv/tollgate/secrets/tenants/alias)"
export ANTHROPIC_MODEL=small
export ANTHROPIC_DEFAULT_OPUS_MODEL=small
export ANTHROPIC_DEFAULT_SONNET_MODEL=small
export ANTHROPIC_DEFAULT_HAIKU_MODEL=small
export CLAUDE_CODE_MAX_CONTEXT_TOKENS=1000000
export CLAUDE_CODE_MAX_OUTPUT_TOKENS=128000
