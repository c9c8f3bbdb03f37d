"""Where everything lives: layout, atomic files, database. Torch-free."""
