"""The one training loop that everything uses."""
