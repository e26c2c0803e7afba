"""From what a failed load has said to its causes: cleaning, message shapes, causes; the door is post_mortem.py."""
