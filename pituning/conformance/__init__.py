"""Whether a foundation model that somebody brought does what everything here stands on."""
