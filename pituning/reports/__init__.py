"""Stories as files for others: views of a workspace, drawn and put into one HTML file that needs nothing else."""
