"""YAML files: read with lines, checked as text, and edited without losing a comment."""
