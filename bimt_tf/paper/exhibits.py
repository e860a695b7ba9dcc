"""All tables and figures that ``bimt reproduce`` makes. Another one is a file of this room and a line here."""

from __future__ import annotations

from bimt_tf.paper.figure_2 import FIGURE_2
from bimt_tf.paper.figure_3 import FIGURE_3
from bimt_tf.paper.figure_4 import FIGURE_4
from bimt_tf.paper.figure_5 import FIGURE_5
from bimt_tf.paper.figure_6 import FIGURE_6
from bimt_tf.paper.figure_a1 import FIGURE_A1
from bimt_tf.paper.figure_a5 import FIGURE_A5
from bimt_tf.paper.figure_a6 import FIGURE_A6
from bimt_tf.paper.frontier import FRONTIER
from bimt_tf.paper.frontier_search import FRONTIER_SEARCH
from bimt_tf.paper.modularity import MODULARITY
from bimt_tf.paper.table1 import TABLE_1
from bimt_tf.paper.table2 import TABLE_2

__all__ = ["EXHIBITS"]

EXHIBITS = (
    TABLE_1,
    TABLE_2,
    FIGURE_2,
    FIGURE_3,
    FIGURE_4,
    FIGURE_5,
    FIGURE_6,
    FIGURE_A1,
    FIGURE_A5,
    FIGURE_A6,
    FRONTIER_SEARCH,
    FRONTIER,
    MODULARITY,
)
