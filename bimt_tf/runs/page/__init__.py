"""What is gathered of a run for its page (viewer/), one file a part."""
