#!/usr/bin/env bash
# A handful of requests to a deployed gateway, as a client sends them; the first wrong answer ends it with status 1.
# Usage: scripts/try-gateway.sh [URL]. The key is that of the tenant `example`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

URL=${1:-http://127.0.0.1:4000}
KEY_FILE=${KEY_FILE:-secrets/tenants/example}
MESSAGE='{"model":"test-model","max_tokens":32,"messages":[{"role":"user","content":"Say hello."}]}'
STREAM='{"model":"test-model","max_tokens":32,"stream":true,"messages":[{"role":"user","content":"Say hello."}]}'

# NAME STATUS WORDS KEY PATH [BODY]: one request; its answer must have that status and hold those words.
try() {
    local name=$1 status=$2 words=$3 key=$4 path=$5 body=${6:-} answer found
    local options=(--silent --show-error --max-time 60 --write-out '\n%{http_code}' --header @-)
    [ -z "$body" ] || options+=(--header 'Content-Type: application/json' --data "$body")
    # The key comes on standard input: an argument is visible to every user of the machine.
    answer=$(printf 'Authorization: Bearer %s\n' "$key" | curl --noproxy '*' "${options[@]}" "$URL$path") || {
        echo "error: $name: no answer from $URL" >&2
        exit 1
    }
    found=${answer##*$'\n'}
    if [ "$found" != "$status" ] || [[ $answer != *"$words"* ]]; then
        printf 'error: %s: expected %s with %s, found %s:\n%s\n' "$name" "$status" "$words" "$found" "$answer" >&2
        exit 1
    fi
    echo "$name: $found"
}

main() {
    [ -s "$KEY_FILE" ] || {
        printf 'error: %s is missing\nhint:  run make deploy first\n' "$KEY_FILE" >&2
        exit 1
    }
    local key
    key=$(<"$KEY_FILE")
    try "Anthropic message" 200 '"content"' "$key" /v1/messages "$MESSAGE"
    try "Anthropic stream" 200 'message_stop' "$key" /v1/messages "$STREAM"
    try "OpenAI completion" 200 '"choices"' "$key" /v1/chat/completions "$MESSAGE"
    try "OpenAI stream" 200 '[DONE]' "$key" /v1/chat/completions "$STREAM"
    try "list of models" 200 'test-model' "$key" /v1/models
    try "unknown key" 401 '' sk-nobody-has-this-key /v1/messages "$MESSAGE"
    try "administration" 404 '' "$key" /key/info
}

main "$@"
