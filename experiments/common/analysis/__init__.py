"""Analysis of a trained classifier: its errors, what it responds to, and pictures of both."""
