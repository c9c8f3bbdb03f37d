"""The recipe that made the embedded foundation model: architecture, mixture of objectives, training."""
