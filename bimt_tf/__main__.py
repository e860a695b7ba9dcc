"""``python -m bimt_tf``, which is ``bimt``."""

from bimt_tf.cli.main import main

if __name__ == "__main__":
    main()
