"""A gateway process answers these itself: the models of a tenant, its usage, the page /usage, and the greeting."""
