"""Exported models for those who ask them: from the disk, or from a server."""
