"""What tests share: waiting, the stack under test, and log scanning."""
