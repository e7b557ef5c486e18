"""What the page /console shows the operator: this process, Postgres, Redis, nginx, and Prometheus's panels and alerts."""
