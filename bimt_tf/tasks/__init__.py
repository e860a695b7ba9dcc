"""Tasks: the data, the loss, the model and the presets of one task a file."""
