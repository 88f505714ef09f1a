"""Second, slow and simple implementations that the real ones are compared with."""
