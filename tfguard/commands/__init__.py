"""The commands of `python -m tfguard`. Each imports what it needs when it runs, so that `explain` answers at once."""
