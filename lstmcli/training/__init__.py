"""Fitting a network: optimizers, schedules, the loop that carries the state."""
