"""The former place of `scadv_tf.client.input_columns`."""

from scadv_tf.client.input_columns import input_columns

__all__ = ["input_columns"]
