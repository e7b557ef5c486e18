# Claude Code through Tollgate: tenant others, key default
# This contains the key: do not commit it, and keep it out of your shell's history.
export ANTHROPIC_BASE_URL=http://gateway.example:4000
export ANTHROPIC_AUTH_TOKEN=sk-not-a-real-key-of-anybody
export ANTHROPIC_MODEL=qwen-coder
export ANTHROPIC_DEFAULT_OPUS_MODEL=qwen-coder
export ANTHROPIC_DEFAULT_SONNET_MODEL=qwen-coder
export ANTHROPIC_DEFAULT_HAIKU_MODEL=qwen-coder
export CLAUDE_CODE_MAX_CONTEXT_TOKENS=262144
export CLAUDE_CODE_MAX_OUTPUT_TOKENS=65536
