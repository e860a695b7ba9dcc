"""The project's own models: RegressionTransformer (transformer.py), MLP (mlp.py) and TokenMLP (token_mlp.py)."""
