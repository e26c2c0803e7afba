"""The process that a load happens in: running here, described by name, or in another directory tree."""
