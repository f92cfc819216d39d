"""Programs that look for faults with random layers, and what they share."""
