"""The scene camera: a seeded drive past traffic signs with ground truth. Pure."""
