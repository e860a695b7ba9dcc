"""Analyses of a trained network. They return results as data; other rooms draw, print and train."""
