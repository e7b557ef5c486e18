"""The model behind a `cheapest` name, for gateway processes and replicas alike."""
