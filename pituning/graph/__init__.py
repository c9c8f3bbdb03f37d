"""How alike tasks are, whose experts will help, and the graph of it all. Torch-free."""
