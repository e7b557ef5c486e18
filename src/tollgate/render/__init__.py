"""Pure: configuration in, the text of every rendered file out (Jinja, StrictUndefined); writes only under var/rendered."""
