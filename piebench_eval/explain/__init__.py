"""Which deviation from the protocol explains claimed numbers."""
