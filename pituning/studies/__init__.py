"""Studies: what was measured on many tasks at once, each cell cached by its spec."""
