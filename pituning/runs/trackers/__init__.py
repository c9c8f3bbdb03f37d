"""Optional copies of a run's curves for other programs; off unless `PITUNING_TRACKERS` names some."""
