"""What a task is, the mini suite, files that people bring, metrics. Torch-free."""
