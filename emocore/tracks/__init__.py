"""Who is seen, and where."""
