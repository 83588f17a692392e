"""The former place of `scadv_tf.client.transport`."""

from scadv_tf.client.transport import Retries

__all__ = ["Retries"]
