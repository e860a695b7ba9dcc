"""Whole jobs: train or resume into a run directory, then measure and draw what came out."""
