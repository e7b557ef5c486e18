"""Pure: configuration in, the text of every rendered file out (Jinja, StrictUndefined), kept under var/rendered."""
