"""π-tuning: interpolation, baselines, selection on the shots, the run."""
