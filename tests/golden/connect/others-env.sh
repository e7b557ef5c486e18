# Claude Code through Tollgate: tenant others, key default
# This reads the key from its file on this machine. On other machines write the key itself here.
export ANTHROPIC_BASE_URL=http://gateway.example:4000
export ANTHROPIC_AUTH_TOKEN="$(cat /srv/tollgate/secrets/tenants/others)"
export ANTHROPIC_MODEL=qwen-coder
export ANTHROPIC_DEFAULT_OPUS_MODEL=qwen-coder
export ANTHROPIC_DEFAULT_SONNET_MODEL=qwen-coder
export ANTHROPIC_DEFAULT_HAIKU_MODEL=qwen-coder
export CLAUDE_CODE_MAX_CONTEXT_TOKENS=262144
export CLAUDE_CODE_MAX_OUTPUT_TOKENS=65536
