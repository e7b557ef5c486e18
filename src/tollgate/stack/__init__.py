"""All code that changes or asks the host: engine, images, secrets, Compose, deploy, doctor."""
