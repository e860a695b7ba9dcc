"""Run directories: making a run, going on with it, loading it, and what is asked of it."""
