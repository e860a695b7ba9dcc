"""The heart: neurons, weights, places and the search for better ones. It knows no model and no training."""
