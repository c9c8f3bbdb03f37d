"""One text-in/text-out interface over the foundation models."""
