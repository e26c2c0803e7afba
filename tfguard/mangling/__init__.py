"""C++ names as the Itanium C++ ABI mangles them: read, written under the other string ABI, printed."""
