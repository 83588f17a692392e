"""The former place of `scadv_tf.client.transport`."""

from scadv_tf.client.transport import RequestFailed, Retries

__all__ = ["RequestFailed", "Retries"]
