"""Many runs at once, on the cores of this machine or on a Ray cluster."""
