"""What is asked of a trained network: each file answers one kind of question, on the run's held-out examples."""
