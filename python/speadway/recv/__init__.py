"""Receive SPEAD streams."""
