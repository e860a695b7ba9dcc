// The page's panels in their order: {id, title, needs: a part of the content, build(section, content, store)}, and
// unless(content): whether another panel shows the same.
import { networkPanel } from "./network_panel.js";
import { livePanel } from "./live_panel.js";
import { neuronPanel } from "./neuron_panel.js";
import { planePanel } from "./plane_panel.js";
import { attentionPanel } from "./attention_panel.js";
import { modulesPanel } from "./modules_panel.js";
import { causesPanel } from "./causes_panel.js";
import { probesPanel } from "./probes_panel.js";
import { curvesPanel } from "./curves_panel.js";
import { runPanel } from "./run_panel.js";

export const PANELS = [
  networkPanel,
  neuronPanel,
  livePanel,
  planePanel,
  attentionPanel,
  modulesPanel,
  causesPanel,
  probesPanel,
  curvesPanel,
  runPanel,
];
