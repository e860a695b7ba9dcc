"""Wiring: which neurons a model has, and which weight joins which of them, as data.

Every parameter is described by an einops-like axis string, one word a dimension (paper, Section 2.3:
"every matrix that does matrix-vector products counts as a linear layer"):

    "blocks.0.attn.W_Q": "head0 residual@Res0 qk0@Q0"    three dimensions; head0 is qk0's head axis
    "blocks.0.attn.o.weight": "residual (head0 ov0)"     a folded dimension, head-major
    "tok_embed.weight": "_ residual"                     an axis without coordinates
    "layers.0.weight": "hidden0 (_ embed)"               two tokens folded onto one population
    "blocks.0.attn.q.weight": "(head0 _ qk0) residual"   query heads folded onto the key head that they share
    "ln.w": "residual"                                   a vector that hangs on one population

A word is the name of a population's axis, of a head axis, or ``_``; ``@Stage`` says at which depth of the
network the population takes part (the residual stream is one population and many stages).
"""

from bimt_tf.wiring.axes import ANY as ANY
from bimt_tf.wiring.populations import Attachment as Attachment
from bimt_tf.wiring.populations import Connection as Connection
from bimt_tf.wiring.populations import Population as Population
from bimt_tf.wiring.populations import Stage as Stage
from bimt_tf.wiring.wiring import Wiring as Wiring

__all__ = ["Population", "Stage", "Connection", "Attachment", "Wiring", "ANY"]
