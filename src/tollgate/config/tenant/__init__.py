"""tenants/*.yaml: the fields of a tenant file, the rules over them, and all files read."""
