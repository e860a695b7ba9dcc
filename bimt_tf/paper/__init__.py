"""The paper's tables and figures beside ours, from one command."""
