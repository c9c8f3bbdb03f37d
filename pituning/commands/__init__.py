"""The commands of `pituning`, one module for each noun. Modules import heavy parts inside their functions only."""
