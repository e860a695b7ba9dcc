"""What the command line shows: progress while runs go on, and the figures that came of them."""
