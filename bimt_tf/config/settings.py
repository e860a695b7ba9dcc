"""What a config holds: every field carries its own sentence, which the command line and the docs repeat."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from bimt_tf.config.manners import require_compatible
from bimt_tf.config.methods import METHODS
from bimt_tf.config.schedules import Schedule, Varying, VaryingSteps, require_schedule
from bimt_tf.errors import InputError, require_at_most, require_non_negative, require_positive, require_seed, unknown
from bimt_tf.tasks.own import is_own, load_own
from bimt_tf.tasks.registry import task as find_task

__all__ = ["BUDGETS", "Config", "EliminationConfig", "GeometryConfig", "TrainingConfig"]

MOST_THREADS = 1024  # on any machine; limits.py compares with this one

_PENALTY: Mapping[str, Any] = {"group": "Penalty and geometry"}
_RUNNING: Mapping[str, Any] = {"group": "Output and machine", "resumable": True}


@dataclass(frozen=True)
class GeometryConfig:
    """Where the neurons are."""

    width: Varying = 2.0
    """extent A of every population, a number or a schedule (docs/schedules.md); 0 makes the penalty a plain L1"""
    layer_gap: float = 0.5
    """distance y_star between neighbouring layers, and what a bias pays"""
    norm: Literal["l1", "l2"] = "l1"
    """norm of the distance"""
    shapes: dict[str, str] = field(default_factory=dict)
    """population -> line, grid or ring, e.g. hidden*=grid,output=ring; those not named lie on a line"""
    distance_free: tuple[str, ...] = ()
    """weights that pay by size only, not by length: parameters, or populations for all theirs, e.g. output"""

    def __post_init__(self) -> None:
        require_schedule("width", self.width)
        require_non_negative("layer_gap", self.layer_gap)


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is trained.

    A field's metadata say where help shows it (``group``, if not with the optimizer) and whether a resume may change it
    (``resumable``).
    """

    steps: int = 40_000
    """optimizer steps, the finish phase and the polish included; 0, of a pretrained model alone: none"""
    batch_size: int = 64
    """examples a step; 0 for the full batch"""
    lr: Varying = 1e-3
    """Adam's learning rate before the finish phase, a number or a schedule"""
    betas: tuple[float, float] = (0.9, 0.999)
    """shares of Adam's running means of the gradient and of its square that a step keeps"""
    fresh_moments: tuple[float, ...] = ()
    """shares of the steps before the finish at which Adam's running means begin anew; 1: where the finish begins"""
    weight_decay: Varying = 0.0
    """AdamW's decay, a number or a schedule: each step takes off lr times this share of every parameter"""
    lam: Schedule = field(default=((0.0, 0.001), (0.12, 0.01), (0.33, 0.1), (0.6, 0.25)), metadata=_PENALTY)
    """lambda of the connection cost: a number, or START:LAMBDA pairs, START a share of the steps before the finish;
    or points to be joined (docs/schedules.md)"""
    reduction: Literal["mean", "sum"] = field(default="mean", metadata=_PENALTY)
    """connection cost averaged over each linear layer (mean) or summed (Eq. 3)"""
    penalty: Literal["proximal", "subgradient"] = field(default="proximal", metadata=_PENALTY)
    """how the penalty acts: a soft threshold after each step (exact zeros), or its gradient"""
    norms: Literal["as-is", "effective"] = field(default="as-is", metadata=_PENALTY)
    """what pays behind a norm: weights as they are, or effective ones, times the norm's gain (docs/norms.md)"""
    swap_every: VaryingSteps = field(default=200, metadata=_PENALTY)
    """steps between swaps (the paper's S), a number or a schedule"""
    swap_starts: int = field(default=8, metadata=_PENALTY)
    """layouts that the last swap, behind each phase, searches from; the best is kept (1: the present one alone)"""
    swap_method: Literal["assignment", "greedy"] = field(default="assignment", metadata=_PENALTY)
    """search for a better layout: exact assignment, or the paper's greedy exchanges"""
    top_k: int = field(default=30, metadata=_PENALTY)
    """neurons a population that the greedy search tries (the paper's k)"""
    bias_free: float = field(default=0.0, metadata=_PENALTY)
    """share of the steps before the finish during which biases pay nothing"""
    fixed: tuple[str, ...] = field(default=(), metadata=_PENALTY)
    """populations whose neurons keep their slots, e.g. input,output"""
    finish_lr: float = 4e-3
    """Adam's learning rate where the finish phase begins; it falls from there to 0"""
    finish: float = 0.4
    """share of Adam's steps that ends them: weights below cut are zero for good, the rate falls to 0"""
    finish_lam: float = field(default=0.0, metadata=_PENALTY)
    """lambda in the finish phase"""
    polish: float = 0.0
    """share of the steps, behind Adam's, that are iterations of L-BFGS on all training examples at once"""
    polish_pull: float = 1e-6
    """weight, in the polish, of the squared distance from the weights before it: less lowers the loss, more keeps Q"""
    validation_share: float = 0.0
    """share of the training examples that is split off before step 1 and guards the elimination against memorising"""
    eliminate: bool = field(default=False, metadata={"group": "Elimination"})
    """go on, behind the last step, by elimination: refits and removals by curvature (docs/elimination.md)"""
    cut: float = field(default=1e-2, metadata=_PENALTY)
    """|w| below which a weight is cut when the finish phase begins"""
    active: float = field(default=1e-2, metadata=_PENALTY)
    """|w| above which a weight counts as active"""
    init_noise: float = 0.0
    """noise on the initial weights, a share of each tensor's root mean square (docs/across-seeds.md)"""
    init_noise_seed: int = 0
    """of that noise; seed stays that of weights, data and batches"""
    dtype: Literal["float32", "float64"] = "float32"
    """number type of weights and data"""
    device: str = field(default="cpu", metadata=_RUNNING)
    """where to train: cpu, cuda, cuda:1, mps"""
    compile: Literal["auto", "yes", "no"] = "auto"
    """torch.compile: auto when the run is long enough to earn it back and a C++ compiler is there"""
    threads: int = field(default=1, metadata=_RUNNING)
    """CPU threads of torch; at these sizes one is fastest"""
    log_every: int = field(default=200, metadata=_RUNNING)
    """steps between lines of metrics.jsonl"""
    checkpoint_every: int = field(default=2_000, metadata=_RUNNING)
    """steps between checkpoints"""
    snapshots: bool = field(default=True, metadata=_RUNNING)
    """keep the network at about 30 steps on the way, for pictures of how it grows (docs/evolution.md)"""
    density: float = field(default=0.05, metadata=_PENALTY)
    """share of the weights that methods magnitude and topk leave"""
    rounds: int = field(default=5, metadata=_PENALTY)
    """how many times method magnitude prunes and rewinds, in equal parts of the steps before the finish"""
    rewind: float = field(default=0.1, metadata=_PENALTY)
    """share of the first such part after which the weights stand that method magnitude goes back to"""
    anneal: float = field(default=0.5, metadata=_PENALTY)
    """share of the steps before the finish during which method topk goes from all weights to density"""

    def __post_init__(self) -> None:
        for name in (
            *(("steps",) if self.steps else ()),  # Config judges 0
            "finish_lr",
            "swap_starts",
            "top_k",
            "rounds",
            "density",
            "anneal",
            "threads",
            "log_every",
            "checkpoint_every",
        ):
            require_positive(name, getattr(self, name))
        require_at_most("threads", self.threads, MOST_THREADS)
        for name in ("density", "anneal"):
            require_at_most(name, getattr(self, name), 1)
        require_seed(self.init_noise_seed, name="init_noise_seed")
        for name in ("batch_size", "finish_lam", "cut", "active", "polish_pull", "init_noise"):
            require_non_negative(name, getattr(self, name))
        for name in ("finish", "polish", "bias_free", "validation_share", "rewind"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 0 and below 1, found {getattr(self, name)!r}")
        for name in ("betas", "fresh_moments"):
            most = 1 if name == "fresh_moments" else math.nextafter(1, 0)
            if not all(0 <= share <= most for share in getattr(self, name)):
                expected = "from 0 to 1" if name == "fresh_moments" else "at least 0 and below 1"
                raise InputError(f"{name} must be {expected}, found {','.join(map(str, getattr(self, name)))}")
        require_schedule("lr", self.lr, positive=True)
        require_schedule("weight_decay", self.weight_decay)
        require_schedule("lam", self.lam)
        require_schedule("swap_every", self.swap_every, positive=True)


BUDGETS = ("max_loss", "loss_factor", "weights", "neurons")
"""Fields of EliminationConfig of which at most one is given: how far an elimination goes."""


@dataclass(frozen=True)
class EliminationConfig:
    """How far an elimination goes (``training.eliminate``, ``bimt eliminate``): at most one budget, loss_factor 1.05
    if none is given.
    """

    max_loss: float | None = None
    """largest training loss that a round may end with"""
    loss_factor: float | None = None
    """the same, as a multiple of the trained network's training loss"""
    weights: int | None = None
    """go on down to so many active weights, whatever the loss"""
    neurons: int | None = None
    """go on down to so many hidden neurons, whatever the loss"""
    whole_neurons: Literal["no", "first", "last"] = "no"
    """take out whole neurons too: first, before single weights and again after them, or last; fewer neurons share more,
    which lowers Q"""
    stay_near: bool = False
    """keep weights near what training left: refits end as soon as the budget allows; Q stays, fewer weights go"""
    short_wires: bool = False
    """keep biases, and spend most of the budget on short wires at the end; Q is higher, fewer weights go"""
    press: bool = False
    """take weights out by a penalty in the place of curvature: for cross entropy near zero loss, which has hardly
    any"""
    fit_examples: int = 2_000
    """training examples that are fitted, drawn by a fixed seed; all if there are no more"""

    def __post_init__(self) -> None:
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(given) > 1:
            raise InputError(f"give one budget of an elimination, found {' and '.join(given)}")
        for name in (*given, "fit_examples"):
            require_positive(name, getattr(self, name))
        require_compatible(
            whole_neurons=self.whole_neurons,
            stay_near=self.stay_near,
            short_wires=self.short_wires,
            press=self.press,
            weights=self.weights is not None,
            neurons=self.neurons is not None,
        )


@dataclass(frozen=True)
class Config:
    """Everything a run depends on. ``data`` and ``model`` are the task's dataclasses."""

    task: str
    """what is learned"""
    preset: str
    """the settings this config started from"""
    method: str
    """how the network is made sparse: a row of the paper's comparison, or one of the other two"""
    seed: int
    """of the weights, the data and the batches"""
    data: Any
    model: Any
    geometry: GeometryConfig
    training: TrainingConfig
    elimination: EliminationConfig = field(default_factory=EliminationConfig)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown("method", str(self.method), METHODS)
        require_seed(self.seed)
        if not find_task(self.task).pretrained:  # a pretrained model may be eliminated as it is
            require_positive("steps", self.training.steps)

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle: a task in a file of one's own goes by its name, so that another process can load that file."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        if is_own(self.task):
            values |= {"data": asdict(self.data), "model": asdict(self.model)}
        return _unpickled, (values,)


def _unpickled(values: dict[str, Any]) -> Config:
    if is_own(values["task"]):
        found = load_own(values["task"])
        values |= {"data": found.Options(**values["data"]), "model": found.Model(**values["model"])}
    return Config(**values)
