"""`tollgate tenant …`: each command has its own module."""
