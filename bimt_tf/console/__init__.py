"""What the command line shows: progress while something runs, and what came of it."""

from bimt_tf.console.pool_watch import PoolBar as PoolBar
from bimt_tf.console.pool_watch import PoolLines as PoolLines
from bimt_tf.console.pool_watch import pool_watcher as pool_watcher
from bimt_tf.console.reports import print_ablation as print_ablation
from bimt_tf.console.reports import print_probe as print_probe
from bimt_tf.console.reports import print_pruning as print_pruning
from bimt_tf.console.reports import print_report as print_report
from bimt_tf.console.reports import print_summary as print_summary
from bimt_tf.console.reports import print_sweep as print_sweep
from bimt_tf.console.run_watch import Bar as Bar
from bimt_tf.console.run_watch import Lines as Lines
from bimt_tf.console.run_watch import watcher as watcher

__all__ = [
    "Bar", "Lines", "PoolBar", "PoolLines", "pool_watcher", "print_ablation", "print_probe", "print_pruning",
    "print_report", "print_summary", "print_sweep", "watcher",
]  # fmt: skip
