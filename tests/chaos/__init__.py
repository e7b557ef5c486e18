"""What breaks, on purpose, under traffic: `make test-chaos` prints what clients saw and fails where it was too much."""
