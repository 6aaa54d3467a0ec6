"""The mathematics shared by all combinations: schedule, DDIM, the two-branch edit loop, attention control."""
