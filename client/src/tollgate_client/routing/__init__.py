"""How a router chooses: pure functions over a request, the models that are known, and money."""
