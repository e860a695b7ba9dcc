// Modules: what each reads and writes, and what it does.
import { h } from "./dom.js";
import { shown } from "./numbers.js";
import { dataTable } from "./tables.js";

export const modulesPanel = { id: "modules", title: "Modules", needs: "modules", build: buildModules };

function buildModules(section, content, store) {
  section.classList.add("detail");
  const { modules } = content;
  const again = h("p", {}, modules.found ? "Beside networks drawn by chance: " : "None were found for this page; in full: ", h("code", {}, modules.command));
  if (!modules.found) {
    section.append(again);
    return;
  }
  const { found, effects } = modules;
  const buttons = found.modules.map((one, place) => {
    const { name } = modules.modules[place];
    const choose = () => store.set(store.get().module === name ? { module: null, colour: "sign" } : { module: name, colour: "module", selected: [], wire: null });
    return h("button", { type: "button", onclick: choose }, name);
  });
  const target = effects ? Object.keys(effects.whole)[0] : null;
  const caption = `${found.modules.length} modules, Q ${shown(found.q)} (${found.method}, residual stream ${found.residual}), ${modules.made}`;
  const heads = ["module", "what it touches", "neurons", "weights inside", "of all |w|"];
  const rows = found.modules.map((one, place) => [buttons[place], one.name, one.nodes.length, one.inside, `${Math.round(one.share * 100)}%`]);
  section.append(dataTable(caption, heads, rows));
  if (target) {
    const more = ["module", `${target} without it`, `${target} without as many others`, `${target} with it alone`];
    const knocked = found.modules.map((_, place) => [modules.modules[place].name, ...effectCells(effects, place, target)]);
    section.append(dataTable(`Knocked out, and kept alone: ${target}`, more, knocked), h("p", { class: "quiet" }, effectsWords(effects, target)));
  }
  section.append(...chanceTables(found, modules.against), ...(found.nulls.length ? [] : [again]));
  store.subscribe((state) => buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(state.module === modules.modules[place].name))));
}

function effectCells(effects, place, target) {
  const one = effects.modules[place];
  const [low, high] = one.random[target];
  return [one.without[target], `${shown(low)} to ${shown(high)}`, one.alone[target]];
}

function effectsWords(effects, target) {
  return `The whole network: ${target} ${shown(effects.whole[target])}; without any neuron between input and output: ${shown(effects.nothing[target])}. Neurons that are knocked out have their ${effects.value} over ${effects.examples} held-out examples instead; beside each module stand ${effects.controls} random sets of as many neurons, lowest to highest. A knock-out that costs no more than these tells nothing of the module.`;
}

function chanceTables(found, against) {
  const tables = [];
  if (found.nulls.length) {
    const rows = found.nulls.map((one) => [one.null, one.mean, `${shown(one.low)} to ${shown(one.high)}`, one.z ?? one.reason, one.p, one.draws]);
    tables.push(dataTable(`Q ${shown(found.q)} against networks drawn by chance`, ["null model", "mean Q", "95% of draws", "z", "p", "draws"], rows));
  }
  if (found.stability) {
    const { mean, lowest, restarts } = found.stability;
    tables.push(h("p", {}, `Stability: ${restarts} restarts of Louvain agree with these modules by an adjusted Rand index of ${shown(mean)}, at least ${shown(lowest)}.`));
  }
  if (against?.others) {
    const rows = against.others.map((one) => [one.label, one.weights, one.q, one.loss]);
    tables.push(dataTable("Other runs of about as many weights", ["run", "weights", "Q", "loss"], rows));
  }
  return tables;
}
