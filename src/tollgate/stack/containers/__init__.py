"""Containers: runs Compose; starts, waits for, drains and replaces them one by one."""
