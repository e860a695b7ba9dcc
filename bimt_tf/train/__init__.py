"""Training: config, schedules, the loop, checkpoints, the run directory. No plots and no command line."""
