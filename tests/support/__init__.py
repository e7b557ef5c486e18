"""Code that tests share: waiting, the stack under test, and log scanning."""
