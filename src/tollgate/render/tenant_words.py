"""The text of docs/tenants.md around its tables. A test loads every YAML block here."""

BEFORE = """\
<!-- Generated from src/tollgate/config/tenant/model.py by `make docs`; do not edit. -->
# Tenant files

Each tenant has one file, `tenants/<id>.yaml`. It says which models the tenant may call, and how much it may spend.
`make plan` shows the changes that LiteLLM needs; `make apply` and `make deploy` make them. If any file has a mistake,
nothing changes. The command reports every problem of every file at once, with its line and a correction. To connect
people to a tenant, see [the guide](guides/tenants.md#connect-the-team).

The shortest file allows every model without a limit:

```yaml
# tenants/research.yaml
tenant:
  id: research
```

A file with every field:

```yaml
# yaml-language-server: $schema=schema.json
# tenants/engineering.yaml
tenant:
  id: engineering
  name: Engineering
  owner: lead@example.org
  api_key: env:ENGINEERING_KEY # without this line a key is generated: secrets/tenants/engineering

keys: # further keys, for people or CI jobs; the limits below apply to all keys together
  - name: alice
    owner: alice@example.org
    expires: 2027-01-31
  - name: ci
    allowed_models: [claude-haiku-5-5]
    budget: {daily_limit: 5}
    rate_limits: {requests_per_minute: 10, max_parallel_requests: 2}

allowed_models:
  - claude-haiku-5-5
  - group:coding

budget:
  daily_limit: 100
  weekly_limit: 500
  monthly_limit: 2000
  soft_limit: 1500
  per_model:
    claude-opus-5-5: {daily_limit: 20, monthly_limit: 400}

rate_limits:
  requests_per_minute: 60
  requests_per_hour: 1000
  requests_per_day: 10000
  tokens_per_minute: 200000
  max_parallel_requests: 10

metadata:
  cost_centre: 4711

show_keys: false
suspended: false
```

With the first line, an editor with a YAML language server completes the file and marks mistakes. It uses
[tenants/schema.json](../tenants/schema.json).

## Fields
Only `tenant.id` is required; every limit is optional. Money is in USD. Windows follow the calendar in UTC: a day begins
at 00:00, a week on Monday, a month on the 1st. The kit ignores fields that begin with `x-`; use them as you like.
"""

AFTER = """\
## Defaults
`tenants/_defaults.yaml` can have all of the fields above except `tenant` and `keys`. It fills the fields that a
tenant's file leaves out, one by one. A list in a tenant's file replaces the default list. A limit of `null` in a
tenant's file removes the default.

```yaml
# yaml-language-server: $schema=defaults.schema.json
# tenants/_defaults.yaml
allowed_models: [group:coding]
budget:
  monthly_limit: 200
  per_model:
    claude-opus-5-5: {daily_limit: 10}
rate_limits:
  requests_per_minute: 60
```

```yaml
# tenants/support.yaml
tenant:
  id: support
budget:
  monthly_limit: null # removes the default: no limit
rate_limits:
  requests_per_hour: 500 # in addition to the default per minute
```

A default budget for one model (`per_model`) is ignored if the tenant may not use that model. It has no effect if it is
above the tenant's own limits. Files whose names begin with `_` or `.` are not tenants.

## Models
`allowed_models` has names from [config/gateway.yaml](../config/gateway.yaml): models, aliases, or `group:NAME` for all
names that `groups:` lists under NAME. If a tenant is allowed an alias, it may use only that alias. If it is allowed a
model, it may also use the model's aliases.

```yaml
# config/gateway.yaml
groups:
  coding: [claude-opus-5-5, claude-sonnet-5-5, claude-haiku-5-5, qwen-coder]
```

## Keys
Each tenant has one key called `default`, and the keys under `keys:`. All of them spend the tenant's budget and count
against its limits. A generated key is in `secrets/tenants/<id>`, a generated key of `keys:` in
`secrets/tenants/<id>.<name>`. A key that you choose must start with `sk-` and have 16 to 100 letters, digits, `-` and
`_`. A file with an expired key gives only a warning, because the gateway refuses that key anyway.

## What is refused
Unknown fields, values of a wrong type, a file whose name is not its `tenant.id`, and:

- two tenants with one id; one key under two names, in one file or in two; two entries of `keys:` with one name, or one
  called `default`
- a model, alias or group that does not exist or is listed twice; a key's model that its tenant may not use
- a shorter window that allows more than a longer one: `daily_limit` above `weekly_limit` or `monthly_limit`,
  `requests_per_minute` above `requests_per_hour` or `requests_per_day`
- a `soft_limit` above `monthly_limit` (or above `daily_limit`, if there is no monthly limit)
- a model's budget or a key's limit above the tenant's own limit; a budget for an alias, or for a model that the tenant
  may not use
- an empty `allowed_models`; a limit of zero (write `suspended: true`)
- variables (`${NAME}`), tags (`!name`), hidden or control characters, duplicate fields, more than 1 MiB, links that
  lead out of `tenants/` """
