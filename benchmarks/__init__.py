"""Side-by-side runs and figures, one command each."""
