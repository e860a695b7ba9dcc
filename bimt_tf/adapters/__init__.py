"""Adapters: the only place that knows how families of models name their parameters. One file for each family."""
