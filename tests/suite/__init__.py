"""`make test` and `make test-all`: what runs at the same time, how long it takes, and that each test ran once."""
