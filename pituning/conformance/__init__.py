"""Whether a foundation model that somebody adds does what everything here stands on."""
