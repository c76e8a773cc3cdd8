"""What the tracker does by itself when records change."""
