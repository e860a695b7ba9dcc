"""The command line, ``bimt``: it reads options, calls the rooms below and prints what they give."""
