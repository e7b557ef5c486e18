"""Certificates: those that nginx serves, that we sign ourselves, and that ACME issues."""
