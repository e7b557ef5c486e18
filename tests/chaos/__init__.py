"""Breaks parts under traffic. `make test-chaos` prints what clients saw, and fails if they saw too much."""
