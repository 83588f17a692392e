"""The former place of `scadv_tf.client.client`."""

from scadv_tf.client.client import Client

__all__ = ["Client"]
