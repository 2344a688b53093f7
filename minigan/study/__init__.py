"""Small studies of GANs in which every number is known exactly."""
