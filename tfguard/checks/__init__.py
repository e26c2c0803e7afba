"""The checks that the doors call, one file a thing that can be checked."""
