"""Training: optimizers, schedules, the loop that carries the state."""
