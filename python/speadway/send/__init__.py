"""Send SPEAD streams."""
