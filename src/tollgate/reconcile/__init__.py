"""Pure: desired and observed tenants in, a sorted plan out; only `apply` has effects."""
