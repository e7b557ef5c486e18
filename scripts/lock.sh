#!/usr/bin/env bash
# Resolves every lock file anew, with hashes and without download addresses.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

compile() {
	.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url "$@"
}

main() {
	compile pyproject.toml --output-file requirements.lock "$@"
	compile pyproject.toml --extra dev --constraints requirements.lock --output-file requirements-dev.lock "$@"
	compile images/tollgate/requirements.in --output-file images/tollgate/requirements.lock "$@"
	# LiteLLM pins two packages that are not published everywhere; overrides.txt says which and why.
	compile images/litellm/requirements.in --override images/litellm/overrides.txt \
		--output-file images/litellm/requirements.lock "$@"
}

main "$@"
