"""What the operator wrote (.env, gateway.yaml, tenants/*.yaml) as typed, validated values; no I/O but reading those files."""
