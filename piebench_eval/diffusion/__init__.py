"""The mathematics that all combinations share: schedule, DDIM, edit loop, attention control, words."""
