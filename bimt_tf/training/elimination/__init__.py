"""What an elimination is made of: the network of live weights, its refit, what goes next, budgets and rounds."""
