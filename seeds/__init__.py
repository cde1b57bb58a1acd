"""A believable Saint-Quentin, and a demonstration that runs its irrigation through the broker."""
