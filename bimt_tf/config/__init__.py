"""The settings of a run: dataclasses, read from options and YAML files and written back. No torch at import."""
