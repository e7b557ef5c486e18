"""What the operator wrote (.env, gateway.yaml, tenants/*.yaml) as typed, validated values; reads those, no more."""
