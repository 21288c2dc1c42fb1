"""The parts of a worker that users write: bootsteps, timers, requests of their own, and the state that these read."""
