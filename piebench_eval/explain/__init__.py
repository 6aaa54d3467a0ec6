"""Find the deviation from the protocol that explains claimed numbers."""
