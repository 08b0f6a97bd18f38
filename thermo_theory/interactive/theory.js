"use strict";
const PROCESSES = ["isobar", "isochore", "isotherm", "adiabat"];
const POINTS = 41;

// The stationary state at fixed learning rate, and the same weights under the other protocols.
function stationary(settings) {
  const law = LAWS[settings.optimizer];
  const v = {...settings, r: law.radius(settings), T: law.temperature(settings)};
  v.eta_eff = law.effective_rate(v);
  v.p = law.pressure(v);
  v.V = law.volume(v);
  v.R = law.gas_constant(v);
  const gas = GAS.state(v.d, v.T);
  v.U = gas.energy;
  v.S_sphere = gas.entropy;
  v.C_V = gas.heat;
  v.S = law.entropy(v);
  v.gamma = INDEX(v);
  v.forgetting = law.forgetting(v);
  return v;
}

// Learning rate and weight decay a share of the way along a process; the adiabat is found by its entropy.
function moved(start, process, factor, share) {
  const change = Math.pow(factor, share);
  if (process !== "adiabat") {
    const power = LAWS[start.optimizer].processes[process];
    return {...start, eta: start.eta * change, lam: start.lam * Math.pow(change, power)};
  }
  const next = {...start, lam: start.lam * change};
  let low = Math.log(start.eta) - 20, high = Math.log(start.eta) + 20;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (stationary({...next, eta: Math.exp(middle)}).S < start.S) low = middle; else high = middle;
  }
  return {...next, eta: share === 0 ? start.eta : Math.exp((low + high) / 2)};
}

const path = (start, process, factor) =>
  Array.from({length: POINTS}, (_, i) => stationary(moved(start, process, factor, i / (POINTS - 1))));

// What walkers show, whose steps are finite: V and T with the first correction, U and S at the temperature p V/R.
function stepped(settings) {
  const law = LAWS.sgd, v = {...settings, r: STEPPED.norm(settings)};
  v.T = BATH(v);
  v.p = law.pressure(v);
  v.V = law.volume(v);
  v.R = law.gas_constant(v);
  const gas = GAS.state(v.d, STEPPED.heat(settings));
  v.U = gas.energy;
  v.S_sphere = gas.entropy;
  v.S = law.entropy(v);
  v.Z = v.p * v.V / (v.R * v.T);
  return v;
}

// The entropy on the sphere of the von Mises-Fisher law that has this mean loss.
function entropyAt(d, energy) {
  let low = -40, high = 40;
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (GAS.state(d, Math.exp(middle)).energy < energy) low = middle; else high = middle;
  }
  return GAS.state(d, Math.exp((low + high) / 2)).entropy;
}
