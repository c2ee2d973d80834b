"""The retina, whose goal alternates: what modules make of it, and whether it makes modules."""
