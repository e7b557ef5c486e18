# Claude Code through Tollgate: tenant claude, key default
# This reads the key from its file on this machine. On other machines write the key itself here.
export ANTHROPIC_BASE_URL=http://gateway.example:4000
export ANTHROPIC_AUTH_TOKEN="$(cat /srv/tollgate/secrets/tenants/claude)"
export ANTHROPIC_MODEL=claude-sonnet-5-5
export ANTHROPIC_DEFAULT_OPUS_MODEL=claude-opus-5-5
export ANTHROPIC_DEFAULT_SONNET_MODEL=claude-sonnet-5-5
export ANTHROPIC_DEFAULT_HAIKU_MODEL=claude-haiku-5-5
