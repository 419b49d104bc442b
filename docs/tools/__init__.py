"""What makes the site of the documentation, and the pages of it that are generated."""
