"""config/gateway.yaml: its fields, the file as a whole, and the rules over it."""
