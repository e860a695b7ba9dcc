"""BIMT on a Hugging Face model behind TransformerLens's bridge: train, probe by hooks, move neurons, save it again.

The GPT-2 here is small and untrained, so that nothing is downloaded; for a pretrained one start from
``TransformerBridge.boot_transformers("gpt2")`` instead of the two lines marked so.
"""

import argparse

import torch
import transformers
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

from bimt_tf import BIMT, Geometry
from bimt_tf.adapters.hugging_face import plain_model

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=500)
parser.add_argument("--out", default="gpt2-bimt")
options = parser.parse_args()

torch.manual_seed(0)
torch.set_num_threads(1)  # for matrices this small
config = transformers.GPT2Config(
    vocab_size=40, n_positions=16, n_embd=32, n_layer=2, n_head=4, attn_implementation="eager"
)
gpt2 = transformers.AutoModelForCausalLM.from_config(config).eval()  # start from boot_transformers
model = build_bridge_from_module(gpt2, "GPT2LMHeadModel", hf_config=config)  # start from boot_transformers

bimt = BIMT(model, Geometry(width=2.0, layer_gap=0.5), reduction="mean")
optimizer = torch.optim.Adam(bimt.parameters.values(), lr=2e-3)
for step in range(options.steps):
    tokens = torch.randint(40, (64, 8)).repeat(1, 2)  # the second half repeats the first: induction
    logits = model(tokens)
    loss = torch.nn.functional.cross_entropy(logits[:, 7:-1].flatten(0, 1), tokens[:, 8:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    bimt.shrink_(0.1, optimizer)  # the proximal step: exact zeros
    if step % 100 == 99:
        report = bimt.swap()
        print(f"step {step + 1}: loss {loss.item():.3f}, cost {report.cost_before:.4f} -> {report.cost_after:.4f}")

tokens = torch.randint(40, (4, 8)).repeat(1, 2)
with torch.no_grad():
    before, cache = model.run_with_cache(tokens)
print("Res2:", tuple(cache["blocks.0.hook_resid_post"].shape))

bimt.bake_()  # neurons into slot order, inside the Hugging Face model too
plain_model(model).save_pretrained(options.out)
again = transformers.AutoModelForCausalLM.from_pretrained(options.out)
with torch.no_grad():
    change = (again(tokens).logits - before).abs().max().item()
print(f"saved to {options.out}; plain transformers loads it, and its logits differ by {change:.1e}")
