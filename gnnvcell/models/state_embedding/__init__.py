"""State embedding: a transformer over the genes of a cell."""
