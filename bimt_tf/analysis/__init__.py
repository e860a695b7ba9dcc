"""What a trained network is made of: results as data, nothing plotted, printed or trained here."""
