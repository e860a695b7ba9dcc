"""Causal questions to a run, and their commands: what is asked, printed and kept."""

import json

import pytest
import torch

from bimt_tf.analysis.exchange import Site
from bimt_tf.analysis.interchange import SiteMove
from bimt_tf.cli.main import main
from bimt_tf.errors import InputError
from bimt_tf.runs.answers import answers
from bimt_tf.runs.ask.causes import smallest_set_at_fewest_tokens, where_it_passes
from bimt_tf.runs.ask.pairs import pairs_of
from bimt_tf.runs.atomic import CannotWrite
from bimt_tf.runs.execute import train_run
from bimt_tf.runs.load import load_run

RESID = "blocks.0.hook_resid_post"


def bimt(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


@pytest.fixture(scope="module")
def opened(whole_run):
    return load_run(whole_run)


@pytest.fixture(scope="module")
def of_classes(tmp_path_factory, tiny_config):
    from bimt_tf.config.reading import make

    path = tmp_path_factory.mktemp("classes") / "run"
    training = {"steps": 20, "finish": 0.0, "log_every": 10, "checkpoint_every": 10, "compile": "no", "batch_size": 0}
    model = {"d_embed": 4, "hidden": [6]}
    train_run(
        make("modular-addition", seed=0, overrides={"data": {"modulus": 7}, "model": model, "training": training}), path
    )
    return path


def test_pairs_of_a_run(opened):
    made = pairs_of(opened, None, 30, "same", 0)
    assert made.target == "w" and len(made.inputs) == 30
    assert (made.source != made.inputs).any(0).nonzero().tolist() == [[1, 0]]
    with torch.no_grad():
        outputs = opened.model(made.inputs)
    assert torch.equal(made.read(outputs)[:, 0], outputs[:, 2, 0])
    assert torch.allclose(made.wanted[:, 0], made.source[:, 1, 0] / made.source[:, 0, 1] * made.inputs[:, 2, 1])
    own = pairs_of(opened, "w", 30, "own", 0)
    assert torch.equal(own.inputs, made.inputs) and torch.equal(own.wanted, made.wanted)
    assert (own.source != own.inputs).flatten(1).any(1).all() and not torch.equal(own.source, made.source)


def test_methods_of_a_run(opened):
    found = opened.interchange(RESID, position=2, pairs=40, random_sets=4)
    assert found.pairs == 40 and found.ceiling.share == pytest.approx(found.share)
    some = opened.interchange(RESID, [0, 3], 2, "x", pairs=40, random_sets=4)
    assert some.sites[0].neurons == (0, 3) and some.null.sets == 4
    along = opened.interchange(RESID, position=1, direction=torch.ones(8, dtype=torch.float64), pairs=40, random_sets=4)
    assert along.null.possible is None
    rows = opened.interchange_map("w", pairs=40)
    assert {row.hook for row in rows} == {"blocks.0.hook_resid_pre", "blocks.0.hook_resid_mid", RESID} and len(
        rows
    ) == 9
    small = opened.minimal_set(RESID, 2, pairs=40, checks=50)
    assert small.reach == 0.9 and small.position == 2
    path = opened.path_patch(Site("blocks.0.hook_resid_pre"), Site("blocks.0.mlp.hook_pre"), pairs=40)
    assert path.pairs == 40
    edges = opened.edge_effects(pairs=40)
    assert len(edges.edges) == opened.active_weights and edges.pairs == 40
    assert edges.before == pytest.approx(opened.summary["test_loss"])


def test_ablation_of_a_run(opened):
    each = opened.ablate("blocks.0.attn.hook_z", each_head=True)
    assert sorted(one.neuron for one in each) == [0, 1]
    head = opened.ablate("blocks.0.attn.hook_z", heads=[1])
    assert head[0].after == next(one for one in each if one.neuron == 1).after
    name, place = "unembed.W_U", (2, 0)
    (one,) = opened.ablate(weights=[(name, place)])
    assert one.neuron == -1 and one.before == pytest.approx(opened.summary["test_loss"])
    first, second = (opened.ablate(neurons=[1], value="resample", position=2, seed=s)[0].after for s in (0, 1))
    assert first != second


def test_pairs_of_ones_own(opened):
    a = opened.held_out.inputs[:20]
    b = a.clone()
    b[:, 2, 1] = 2.0
    targets = torch.stack([a[:, 1, 0], a[:, 1, 0] / a[:, 0, 1] * 2], dim=1)
    found = opened.interchange(RESID, position=2, pairs=(a, b, targets), random_sets=0)
    assert found.pairs == 20
    for wrong in ((a, b), (a, b, None), (a, b[:3], targets)):
        with pytest.raises(InputError, match="pairs"):
            opened.interchange(RESID, pairs=wrong)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda run: run.interchange(RESID, target="y1x"), "did you mean 'y1'"),
        (lambda run: run.interchange(RESID, [99]), "has neurons 0 to 7, found 99"),
        (lambda run: run.interchange("blocks.0.hook_resid_pots"), f"did you mean '{RESID}'"),
        (lambda run: run.interchange(RESID, others="mine"), "others"),
        (lambda run: run.interchange(RESID, pairs=1), "pairs"),
        (lambda run: run.interchange_map(seed=2**70), "seed must be below"),
        (lambda run: run.edge_effects(seed=-1), "seed must be a whole number of at least 0"),
        (lambda run: run.minimal_set(RESID, 7), "has positions 0 to 2"),
        (lambda run: run.ablate(heads=[0]), "has no heads"),
        (lambda run: run.ablate(weights=[("embed.W_e", (0, 0))]), "did you mean 'embed.W_E'"),
    ],
)
def test_unknown_names_list_the_near_ones(opened, ask, message):
    with pytest.raises(InputError, match=message):
        ask(opened)


def test_a_task_of_classes(of_classes):
    run = load_run(of_classes)
    found = run.interchange("layers.0.hook_post", target="token_2", random_sets=3)
    assert found.slope is None and 0 < found.pairs <= len(run.held_out.inputs)
    effects = run.edge_effects("token_1")
    carried = [edge.interchange for edge in effects.edges if edge.parameter == "layers.0.weight" and edge.copy == 1]
    assert set(carried) <= {0.0} and any(edge.interchange for edge in effects.edges)
    assert {row.position for row in run.interchange_map() if row.hook == "hook_embed"} == {0, 1}


def test_a_task_that_makes_no_pairs(tmp_path, tiny_config):
    train_run(tiny_config("two-moon", 20), tmp_path / "run")
    run = load_run(tmp_path / "run")
    with pytest.raises(InputError, match=r"pairs=\(inputs of A, inputs of B"):
        run.interchange("layers.0.hook_post")
    assert all(edge.interchange is None for edge in run.edge_effects().edges)
    assert bimt("edges", tmp_path / "run") == 0
    assert bimt("minimal-set", tmp_path / "run") == 2


def test_a_hook_that_no_probe_names_is_asked_for_alone(tmp_path, tiny_config, capsys):
    train_run(tiny_config("two-moon", 20), tmp_path / "run")
    assert bimt("ablate", tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert "give --hook (hook_input, layers.0.hook_pre" in said and "--target" not in said


def test_commands_answer_and_keep(run, capsys):
    asked = [
        ["interchange"],
        ["interchange", "--hook", RESID, "--neurons", "1,3", "--position", "-1", "--target", "x", "--random-sets", "5"],
        ["minimal-set", "--hook", RESID, "--position", "1,2", "--pairs", "30", "--checks", "40"],
        ["minimal-set", "--pairs", "30", "--checks", "20", "--random-sets", "3"],
        ["edges", "--pairs", "30", "--top", "3"],
        ["ablate", "--hook", "blocks.0.attn.hook_z", "--heads", "1", "--value", "zero", "--position", "1"],
        ["ablate", "--hook", "blocks.0.attn.hook_z", "--heads", "each"],
        ["ablate", "--weight", "unembed.W_U[2,0]", "--weight", "embed.W_E[0,1]"],
    ]
    for words in asked:
        assert bimt(words[0], run, *words[1:]) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        assert out.splitlines()[-1] == f"kept in {run / 'interventions.json'}", out
    kept = answers(run, "interventions")
    assert {one["question"] for one in kept} == {"interchange", "interchange-map", "minimal-set", "edges", "ablate"}
    assert all(one["made"]["seed"] == 0 and one["made"]["part"] == "held-out" for one in kept)
    number = len(kept)
    for words in asked:
        assert bimt(words[0], run, *words[1:], "--json") == 0
        assert json.loads(capsys.readouterr().out)
    assert len(answers(run, "interventions")) == number  # asked again, an answer takes its own place


def test_a_directory_that_cannot_be_written(run, capsys, monkeypatch):
    def refused(*given):
        raise CannotWrite("cannot write interventions.json: Permission denied")

    monkeypatch.setattr("bimt_tf.cli.console.kept.keep", refused)
    for words in (["edges", "--pairs", "20"], ["interchange", "--json"], ["minimal-set", "--checks", "9"], ["ablate"]):
        assert bimt(words[0], run, *words[1:]) == 0
        said = capsys.readouterr()
        assert "not kept" in said.err and len(said.err.splitlines()) == 1
        assert json.loads(said.out) if "--json" in words else "kept in" not in said.out


def test_a_damaged_file_of_answers_does_not_take_the_answer_away(run, capsys):
    (run / "interventions.json").write_text("{")
    for words in (["edges", "--pairs", "20"], ["interchange", "--json"], ["ablate"]):
        assert bimt(words[0], run, *words[1:]) == 0
        said = capsys.readouterr()
        assert said.out and "interventions.json is damaged" in said.err and len(said.err.splitlines()) == 1
    assert (run / "interventions.json").read_text() == "{"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["interchange", "--neurons", "3"], "give --hook too"),
        (["minimal-set", "--position", "1"], "give --hook too"),
        (["interchange", "--target", "z"], "known: w, x, x1, y1"),
        (["ablate", "--weight", "embed.W_E"], "a parameter and a place such as"),
        (["ablate", "--value", "median"], "unknown value to write 'median'"),
        (["edges", "--top", "0"], "--top must be a whole number of at least 1"),
        (["minimal-set", "--reach", "2"], "reach must be at most 1"),
    ],
)
def test_mistakes_of_commands_are_one_line(run, capsys, words, message):
    assert bimt(words[0], run, *words[1:]) == 2
    said = capsys.readouterr()
    assert message in said.err and len(said.err.splitlines()) == 1 and said.out == ""


def test_where_a_set_is_looked_for():
    def row(hook, position, share):
        return SiteMove(hook, position, 3, share, share, None)

    rows = [
        row("a", 0, 0.0),
        row("a", 1, 0.95),
        row("a", 2, 0.97),
        row("b", 0, 0.0),
        row("b", 1, -3.0),
        row("b", 2, 0.2),
    ]
    rows += [row("c", 0, 0.0), row("d", None, 1.0), row("e", None, 0.5)]
    assert where_it_passes(rows, 0.9) == [("a", 1), ("a", 2), ("b", (1, 2)), ("d", None), ("e", None)]


def test_a_set_at_several_tokens_is_left_at_those_that_matter(whole_run):
    """Without attention the output at token 2 depends on token 2 alone."""
    run = load_run(whole_run)
    with torch.no_grad():
        for block in run.model.blocks:
            block.attn.W_O.zero_()
    a, b = run.held_out.inputs[:20], run.held_out.inputs[20:40]
    targets = run.held_out.targets[:20].clone()
    with torch.no_grad():
        targets[:, -1] = run.model(b)[:, -1, 0]
    pairs = (a, b, targets)
    found = smallest_set_at_fewest_tokens(run, RESID, (0, 1, 2), pairs=pairs, random_sets=0)
    assert found.position == 2 and found.share >= 0.9
    assert run.minimal_set(RESID, (0, 1, 2), pairs=pairs, random_sets=0).neurons == found.neurons
