"""Tasks. Each file holds the data, the loss, the model and the presets of one task."""
