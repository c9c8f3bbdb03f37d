"""Labels for rows that have none: what comes in, what an expert answers and how sure it is, what goes out."""
