"""One HTML file of a network and what was found about it, explored without a server. Nothing is computed here."""
