"""Fisher embeddings of tasks."""
