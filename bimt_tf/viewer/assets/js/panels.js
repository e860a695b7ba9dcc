// The page's panels in their order: {id, title, needs: a part of the content, build(section, content, store)}.
import { networkPanel } from "./network_panel.js";
import { livePanel } from "./live_panel.js";

export const PANELS = [networkPanel, livePanel];
