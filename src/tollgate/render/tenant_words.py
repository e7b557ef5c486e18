"""What docs/tenants.md says around its tables. Every YAML block here is loaded by a test."""

BEFORE = """\
<!-- Generated from src/tollgate/config/tenant_model.py by `make docs`; do not edit. -->
# Tenant files

One file a tenant: `tenants/<id>.yaml`. It says who may call which models and how much; `make plan` shows what would
change in LiteLLM, `make apply` and `make deploy` make it so. A file that holds a mistake changes nothing: every problem
of every file is told at once, with its line and what to write instead.

The least a file can say, every model and no limit:

```yaml
# tenants/research.yaml
tenant:
  id: research
```

Everything it can say:

```yaml
# yaml-language-server: $schema=schema.json
# tenants/engineering.yaml
tenant:
  id: engineering
  name: Engineering
  owner: lead@example.org
  api_key: env:ENGINEERING_KEY # left out, one is generated: secrets/tenants/engineering

keys: # further keys: one a person or CI job, all within the limits below
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

suspended: false
```

The first line lets an editor with a YAML language server complete the file and mark mistakes, by
[tenants/schema.json](../tenants/schema.json).

## Fields
Anything but `tenant.id` may be left out; a limit that is left out is no limit. Money is USD. Windows follow the
calendar in UTC: a day begins at 00:00, a week on Monday, a month on the 1st. A key that begins with `x-` is yours and
ignored.
"""

AFTER = """\
## Defaults
`tenants/_defaults.yaml` may hold all of the above but `tenant` and `keys`, and fills what a tenant's file leaves out,
field by field; a list is taken as a whole. A limit of `null` in a tenant's file means none in spite of the default.

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
  monthly_limit: null # no limit, in spite of the default
rate_limits:
  requests_per_hour: 500 # beside the default for a minute
```

A default cap on a model that a tenant may not use, or above its own limits, does no harm. Files whose names begin with
`_` or `.` are no tenants.

## Models
`allowed_models` holds names that [config/gateway.yaml](../config/gateway.yaml) defines: models, aliases, or
`group:NAME` for all that `groups:` lists under that name. An alias allows no more than itself; a model is also reached
through its aliases.

```yaml
# config/gateway.yaml
groups:
  coding: [claude-opus-5-5, claude-sonnet-5-5, claude-haiku-5-5, qwen-coder]
```

## Keys
Each tenant has a key of its own, called `default`, and those under `keys:`. All of them spend the tenant's budget and
count against its limits. A generated key lies in `secrets/tenants/<id>`, that of `keys:` in
`secrets/tenants/<id>.<name>`. A key that somebody chose starts with `sk-` and has 16 to 100 letters, digits, `-` and
`_`. An expired key only draws a warning: the file is right, the key refuses by itself.

## What is refused
Unknown keys, values of another type, a file whose name is not its `tenant.id`, and:

- two tenants with one id; one key under two names, in one file or two; two `keys:` of one name, or one called `default`
- a model, alias or group that does not exist, or that stands there twice; a key's model that its tenant may not use
- a shorter window that allows more than a longer one: `daily_limit` above `weekly_limit` or `monthly_limit`,
  `requests_per_minute` above `requests_per_hour` or `requests_per_day`
- a `soft_limit` above `monthly_limit` (above `daily_limit`, where there is no monthly one)
- a cap or a key's limit above the tenant's own; a cap on an alias, or on a model the tenant may not use
- an empty `allowed_models`; a limit of zero (say `suspended: true`)
- variables (`${NAME}`), tags (`!name`), hidden or control characters, duplicate keys, more than 1 MiB, links that lead
  out of `tenants/`
"""
