"""Measurements behind the published figures; each writes JSON beside itself."""
