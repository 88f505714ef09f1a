"""Archives of a size that no test could fill: their indexes are real and whole, most of their chunks are holes."""
