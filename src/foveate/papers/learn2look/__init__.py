"""Learn 2 Look: a spatial loss on feature maps."""
