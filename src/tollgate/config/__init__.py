"""Reads the operator's files (.env, gateway.yaml, tenants/*.yaml) into typed, validated values. Nothing more."""
