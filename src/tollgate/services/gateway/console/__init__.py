"""The figures of the page /console: this process, Postgres, Redis, nginx, and Prometheus's panels and alerts."""
