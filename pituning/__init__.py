"""π-Tuning: task graphs of parameter-efficient experts, and interpolation of the experts of similar tasks."""

__version__ = "0.1.0"
