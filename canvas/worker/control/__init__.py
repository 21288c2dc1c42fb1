"""Remote control of a worker: requests, commands, replies."""
