"""Output layers and losses."""
