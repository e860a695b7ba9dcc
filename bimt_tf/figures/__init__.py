"""Matplotlib figures of analysis results; nothing is computed, saved or shown here."""
