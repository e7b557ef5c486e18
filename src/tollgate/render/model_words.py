"""What docs/models.md says around its tables. Every YAML block here is loaded by a test."""

BEFORE = """\
<!-- Generated from src/tollgate/config/ by `make docs`; do not edit. -->
# Models

`config/gateway.yaml` says which models the gateway serves, through which providers, at what price, and where a request
goes when something fails. `make deploy` applies it; a file that holds a mistake changes nothing, and every problem is
told at once with its line. `make models` lists what is served and what is left out, and why; `make models M=NAME` sends
one real request, with a tool, through each target of a model and says what it answered.

```yaml
# yaml-language-server: $schema=gateway.schema.json
models:
  claude-sonnet-5-5:
    targets:
      - model: anthropic/claude-sonnet-5-5
      - {model: openrouter/anthropic/claude-sonnet-5.5, native_messages: true, order: 2}
    price: {input_per_million: 2, output_per_million: 10, cache_read_per_million: 0.1, cache_write_per_million: 2.5}
    context_tokens: 1000000
    max_output_tokens: 128000
  gpt-4o-mini:
    targets: [{model: openai/gpt-4o-mini}]
    price: litellm
  local:
    targets: [{model: hosted_vllm/qwen3-coder-30b, api_base: "http://host.docker.internal:8000/v1"}]
    price: free
    vision: false

chains:
  code_chain: [claude-sonnet-5-5, gpt-4o-mini, local]
aliases:
  big: claude-sonnet-5-5
  code: code_chain
fallbacks:
  claude-sonnet-5-5: code_chain
context_window_fallbacks:
  local: [claude-sonnet-5-5]
cheapest:
  auto: {models: [local, claude-sonnet-5-5], max_cost: 0.5}
```

The first line lets an editor with a YAML language server complete the file and mark mistakes, by
[config/gateway.schema.json](../config/gateway.schema.json). Whole examples: [config/examples/](../config/examples/).
A key that begins with `x-` is yours and ignored. A server of your own can also stand under `backends:`
([local backends](local-backends.md)).

## Which target answers
Of a model's targets the lowest `order` is tried first; targets of the same order share the requests by `weight`. What
fails (5xx, 401, 402, 404, a timeout; 429 at once) is tried again up to `routing.retries` times, then at the other
targets of the model, then at the models its `fallbacks` name. A target that fails more than `allowed_fails` times
within `cooldown_s` is left alone for `cooldown_s`; a model's only target never is.

A request that a provider calls malformed (400) is not tried elsewhere. A prompt that is too long goes to
`context_window_fallbacks` only, one that was refused for its content to `content_policy_fallbacks` only: clients that
compact a conversation are told. (Anthropic also answers 400 to an account without credit; that stops the model.)

A fallback never leads a tenant to a model its file does not allow, and is billed at its own price. Of a named chain a
model falls back to what stands after it; an alias of a chain is its first model that is served, and follows the rest.

## Prices
Every model has one, or the file is refused: what has no price costs nothing in LiteLLM, and no budget would stop it.
`free` is for your own hardware. `litellm` takes the price list that comes with LiteLLM; a model that is not in it is
refused by the deploy, before anything changes. A cache price that is left out is the input price.

## The cheapest that will do
A name under `cheapest:` is a model like others: tenants must be allowed it, and it appears in `/v1/models`. For each
request it becomes the cheapest of its candidates that the tenant may use as well and that can do it: `tools: false` and
`vision: false` leave a candidate out of requests with tools or images, `context_tokens` out of longer ones. What a
request can cost is its prompt (three bytes a token) and `max_tokens`, at the prices above; one that could cost more
than `max_cost` is refused. A client may send `x-tollgate-max-cost: 0.05` to lower it. The header `x-tollgate-model` of
the answer says what was chosen; the ledger, budgets and limits are those of the chosen model.

## Answers given again
`cache: {enabled: true}` answers an identical request of the same tenant from Redis for `ttl_s`, at no cost. It holds
for the OpenAI routes; on `/v1/messages` only for targets that LiteLLM has to translate for. Claude Code's requests are
never identical, so it is off unless you say so.

## Providers
What a target's `model` may begin with, and what must be set for it. Keys stand in `.env`, never in this file.
"""

AFTER = """\
## Fields
"""
