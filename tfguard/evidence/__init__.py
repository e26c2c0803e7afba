"""The facts around a failure: what lies beside the file, what the process and the machine hold against a load."""
