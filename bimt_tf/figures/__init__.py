"""Matplotlib figures of analysis results. The caller saves or shows them."""
