"""The questions one asks a run, as methods: each file holds one kind, and bimt_tf.runs.finished_run joins them."""
