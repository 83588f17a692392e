# The main job in a clone of the repository; where the package is installed, `scadv train` is it.
from scadv_tf.train import __doc__, start  # noqa: F401 (--help begins with the former)

if __name__ == "__main__":
    start()
