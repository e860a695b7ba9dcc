"""Training one network: the loop, what it needs, and the phases of a run. No files, no plots, no command line."""
