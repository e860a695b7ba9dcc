"""The config of a run: dataclasses in, YAML out and back. No torch at import.

Sections ``data`` and ``model`` are the task's own dataclasses.
"""

from bimt_tf.train.config.reading import dump as dump
from bimt_tf.train.config.reading import load as load
from bimt_tf.train.config.reading import make as make
from bimt_tf.train.config.reading import sentences as sentences
from bimt_tf.train.config.settings import METHODS as METHODS
from bimt_tf.train.config.settings import Config as Config
from bimt_tf.train.config.settings import GeometryConfig as GeometryConfig
from bimt_tf.train.config.settings import Method as Method
from bimt_tf.train.config.settings import TrainingConfig as TrainingConfig
from bimt_tf.train.config.settings import parse_schedule as parse_schedule
from bimt_tf.train.config.settings import spell as spell

__all__ = [
    "METHODS", "Config", "GeometryConfig", "Method", "TrainingConfig", "dump", "load", "make", "parse_schedule",
    "sentences", "spell",
]  # fmt: skip
