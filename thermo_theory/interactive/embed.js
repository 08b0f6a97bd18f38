for (const root of document.querySelectorAll(".live-gas"))
  liveGas(root, {settings: HOME, fixed: true, factor: () => 1 / 4, iterations: () => 4000}).set(HOME, "isobar", 1 / 4);
