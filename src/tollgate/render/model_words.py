"""The text of docs/models.md around its tables. A test loads every YAML block here."""

BEFORE = """\
<!-- Generated from src/tollgate/config/ by `make docs`; do not edit. -->
# Models

`config/gateway.yaml` says which models the gateway serves, through which providers, at what price, and where a request
goes after a failure. `make deploy` applies it. If the file has a mistake, nothing changes, and the deploy reports every
problem at once with its line. `make models` lists the models that are served, and gives a reason for each one that is
left out. `make models M=NAME` sends one real request with a tool to each target of a model, and prints the answers.

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

With the first line, an editor with a YAML language server completes the file and marks mistakes. It uses
[config/gateway.schema.json](../config/gateway.schema.json). Complete examples: [config/examples/](../config/examples/).
The kit ignores fields that begin with `x-`; use them as you like. You can list your own model server under `backends:`
instead ([local backends](local-backends.md)).

## Which target answers
The gateway tries the target with the lowest `order` first. Targets of the same order share the requests by `weight`.
After a failure it tries the model's other targets, then the models in its `fallbacks`. A target that fails more than
`allowed_fails` times within `cooldown_s` gets no requests for `cooldown_s`. A model's only target always gets requests.
Each gateway process counts failures itself, and tells the others within a second which targets get no requests. It does
not count a refusal that the request can have caused ([refusals](refusals.md#the-answer-to-a-client)).

Gateway processes and LiteLLM differ in what they try again at the same target. A gateway process repeats only a call
that certainly did not reach the provider. LiteLLM repeats a call up to `routing.retries` times after a 5xx, 401, 402 or
404, but not after a 429 or a timeout. Only LiteLLM uses `routing.strategy`.

A request that a provider calls malformed (400) is not tried elsewhere, and gateway processes do not try flagged input
elsewhere either. They do try a 404 elsewhere: another provider may have the file or the feature. A prompt that is too
long goes only to `context_window_fallbacks`. If a provider refuses a request for its content, LiteLLM tries
`content_policy_fallbacks`. Gateway processes do not use that list: write `route: litellm` at a model that needs it.
Without such a fallback the client sees the error, so that it can compact its conversation. (Anthropic also answers 400
for an account without credit. LiteLLM then does not try the fallbacks; a gateway process does.)

A fallback never leads a tenant to a model that its file does not allow, and it is billed at its own price. With gateway
processes, `/v1/models` names the fallbacks of each model that the tenant may use. If a gateway process answers from a
fallback, the answer's header `tollgate-answered-by` has its name. LiteLLM's answers have no such header. In a named
chain, a model falls back to the models after it. An alias of a chain is the chain's first model that is served; its
fallbacks are the rest.

## Prices
Every model needs a price, or the file is refused: LiteLLM charges nothing for a model without a price, and no budget
would stop it. Write `free` for your own hardware. `litellm` uses the price list that comes with LiteLLM; the deploy
refuses a model that the list lacks, before anything changes. Without a cache price, the cache costs the input price.

**Tools that the provider runs**, such as web search, cost money for each use. `server_tools: {web_search: 0.01}` in a
model's price is USD for one use. The name is the tool's type without its date: `web_search_20250305` is `web_search`. A
request with a tool that has no price is refused, and the message names the tool. A tool that costs money needs
`max_uses` in the request: that many uses are reserved, and the uses that the provider counts are billed. Write 0 for a
tool that costs only its tokens. Write 0 for `code_execution` too: its provider bills the time of a container, and no
answer says that time, so the gateway cannot bill it to a tenant. Tools that the client runs (`bash`, `text_editor`,
`computer`, `memory`), `web_fetch` and the search for tools need no price. A free model has free tools. LiteLLM's route
refuses in the same way, and bills web search only. With gateway processes, `/v1/models` has these prices as
`server_tools`.

**Fields that make an answer more expensive** than the model's price are refused, and the message names the field. They
are `service_tier` (all but `auto`, `default`, `standard_only` and `flex`), `speed`, `inference_geo`, `modalities` with
more than text, `audio`, `web_search_options`, and OpenRouter's `models`, `provider`, `route`, `plugins` and `preset`.
An empty object counts too: `web_search_options: {}` switches the search on. A Messages request for a server that has
only chat completions is translated. The translated request has none of these fields, so it is not refused for them;
only a region in `inference_geo` can be refused there, because such a server promises none. A fallback that would get
such a field, or a tool without a price, is left out. Both routes do so.

## The cheapest model that can do it
A name under `cheapest:` is a model like others: tenants must be allowed to use it, and `/v1/models` lists it. For each
request the gateway chooses the cheapest candidate that the tenant may use and that can do it. `tools: false` and
`vision: false` exclude a candidate from requests with tools or images. `context_tokens` excludes it from longer
requests.

The gateway computes what a request can cost. It adds the prompt (three bytes a token, an image as 1,600, a PDF by its
size), the longest answer, and every use of a tool that the provider runs, each at the prices above. The longest answer
is that of `max_tokens`, once for each of `n` answers. Without `max_tokens` it is the candidate's `max_output_tokens`,
or 4,096 tokens. The gateway refuses a request that could cost more than `max_cost`. A client can lower that limit with
the header `x-tollgate-max-cost: 0.05`.

The answer's header `x-tollgate-model` names the chosen model. The chosen model is booked, and its budgets and limits
apply. If the gateway processes serve every candidate directly, they choose and answer themselves. Otherwise LiteLLM
answers, and chooses by the same rule.

## The response cache
`cache: {enabled: true}` answers an identical request of the same tenant from Redis for `ttl_s`, at no cost. It works on
the OpenAI routes. On `/v1/messages` it works only for targets that LiteLLM translates for. It is off by default,
because Claude Code's requests are never identical.

## Providers
A target's `model` begins with one of these names. Set the credentials in `.env`, never in this file.
"""

AFTER = """\
## Fields
"""
