"""Run specs, the queue, the supervisor and the worker."""
