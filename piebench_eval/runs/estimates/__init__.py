"""How fast a run goes and how long it will take."""
