"""Everything that touches the host: engine, images, secrets, compose, deploy, doctor."""
