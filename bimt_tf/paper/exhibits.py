"""All tables and figures that ``bimt reproduce`` makes. Another one is a file of this room and a line here."""

from __future__ import annotations

from bimt_tf.paper.appendix_e import APPENDIX_E
from bimt_tf.paper.figure_2 import FIGURE_2
from bimt_tf.paper.figure_3 import FIGURE_3
from bimt_tf.paper.figure_4 import FIGURE_4
from bimt_tf.paper.figure_5 import FIGURE_5
from bimt_tf.paper.figure_6 import FIGURE_6
from bimt_tf.paper.figure_7 import FIGURE_7
from bimt_tf.paper.figure_8 import FIGURE_8
from bimt_tf.paper.figure_a1 import FIGURE_A1
from bimt_tf.paper.figure_a2 import FIGURE_A2
from bimt_tf.paper.figure_a3 import FIGURE_A3
from bimt_tf.paper.figure_a4 import FIGURE_A4
from bimt_tf.paper.figure_a5 import FIGURE_A5
from bimt_tf.paper.figure_a6 import FIGURE_A6
from bimt_tf.paper.figure_a7 import FIGURE_A7
from bimt_tf.paper.figure_a8 import FIGURE_A8
from bimt_tf.paper.figure_a9 import FIGURE_A9
from bimt_tf.paper.figure_a10 import FIGURE_A10
from bimt_tf.paper.figure_a11 import FIGURE_A11
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
    FIGURE_7,
    FIGURE_8,
    FIGURE_A1,
    FIGURE_A2,
    FIGURE_A3,
    FIGURE_A4,
    FIGURE_A5,
    FIGURE_A6,
    FIGURE_A7,
    FIGURE_A8,
    FIGURE_A9,
    FIGURE_A10,
    FIGURE_A11,
    APPENDIX_E,
    FRONTIER_SEARCH,
    FRONTIER,
    MODULARITY,
)
