"""What holds transfers up on this machine: each part is probed by itself, judged by its figures, and the slowest is named."""
