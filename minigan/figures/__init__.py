"""All that draws: arrays in, pictures out."""
