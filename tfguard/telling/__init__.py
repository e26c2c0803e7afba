"""How a report is told: text, HTML, a tree of images, a progress bar."""
