"""What trials leave behind: the store, its tables, and what is computed from them. No torch."""
