"""The recipe that trains the projector of a composed backbone on drawn scenes and on pictures with words."""
