"""AnnData in, arrays out. Knows no model, no TensorFlow and no command line."""
