"""One task over a grid of settings, methods and seeds, as one directory with one table."""
