"""What the tests make for themselves: a small model, small metric networks, a small benchmark."""
