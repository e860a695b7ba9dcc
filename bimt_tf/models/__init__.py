"""The project's own models: RegressionTransformer (transformer.py) and MLP (mlp.py)."""
