"""What is installed around a package, read from the metadata on disk: nothing of it is imported, pip is not asked."""
