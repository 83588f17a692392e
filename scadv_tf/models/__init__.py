"""The networks, losses and phases of scadv_tf, in Keras."""
