"""What each chapter of the book derives, from what, and where that is used."""

from __future__ import annotations

__all__ = ["INTRODUCTIONS"]

#: By the titles of the chapters; the first sentence stands in the contents.
INTRODUCTIONS = {
    "Stochastic calculus": (
        "SGD as a stochastic differential equation, and what Itô's lemma makes of it: how the norm and the direction "
        "of the weights relax, and where they come to rest. The starting point is one step of SGD, whose mean and "
        "covariance become drift and diffusion; scale invariance makes the gradient orthogonal to the weights and "
        "inversely proportional to their norm. Everything about a stationary gas begins here: the radius, the "
        "relaxation times by which a run counts as stationary, and the Gibbs density of the directions when the noise "
        "is isotropic."
    ),
    "Thermodynamics from Gibbs": (
        "From the Gibbs density to the ideal-gas law: temperature, pressure and volume of a network in training, free "
        "energies, heat capacities and the Maxwell relations. The dictionary is set here: the learning rate gives the "
        "temperature, weight decay the pressure, half the squared norm the volume. Three protocols are distinguished: "
        "fixed learning rate, fixed effective learning rate, and fixed norm (fixed sphere). Most claims that are "
        "measured compare with a formula of this chapter."
    ),
    "The von Mises-Fisher gas": (
        "A gas that can be solved in full: a loss of one minus a cosine, whose Gibbs density is the von Mises–Fisher "
        "distribution. Its energy, entropy, heat capacity and adiabatic index are ratios of Bessel functions at any "
        "temperature and in any dimension. It shows where low temperature ends (T·d near 1), and estimators of "
        "entropy are checked against it before they are trusted on a network."
    ),
    "Exact, without the stochastic differential equation": (
        "What holds for any noise and any step size, because it follows from one discrete step and its symmetry. The "
        "scaling symmetry gives the Maxwell relation, and stationarity of the norm the norm balance and the virial "
        "theorem, without a Gibbs law and without small steps: these are the gates and the symmetry claims. A run "
        "that breaks them is not stationary or not scale-invariant; agreement with them is no evidence for "
        "thermodynamics. Stationarity of the loss relates gradients to curvature. Against that the configurational "
        "temperature is measured, which does need the Gibbs law; the edge of stability and finite steps close the "
        "chapter."
    ),
    "Beyond the ideal gas": (
        "What changes when an assumption fails: a length scale, noise that is not isotropic, several blocks, a well "
        "that is not quadratic. Near a minimum any noise gives a gas in an implicit potential, which differs from the "
        "loss as soon as the noise is anisotropic; then fluctuations of the loss no longer give its heat capacity, and "
        "probability currents flow unless Hessian and noise commute. Networks depart from the ideal gas in these ways, "
        "so the chapter names what to measure when a physics claim fails."
    ),
    "Other optimisers": (
        "The same questions for momentum, Nesterov, AdamW, Adam with L2, signSGD, Lion, normalised SGD, Muon, LARS "
        "and LAMB. Each optimiser has a scaling symmetry of its own, read off its update rule, and with it a Maxwell "
        "relation; where gradients are uncorrelated the stationary norm, the temperature and the angle per step "
        "follow. The tables of the [dictionary](dictionary.md) put the gases side by side."
    ),
    "Any optimiser: gases of degree k": (
        "One derivation for all of them: a step that is homogeneous of degree k in the gradient (1 for SGD, 0 for "
        "sign and normalised steps). Degree and kind of weight decay alone fix the coordinates of the gas, its gas "
        "constant and its adiabatic index; what remains to be measured is the gain and the noise of a step at unit "
        "norm. An optimiser of your own gets its predictions from this chapter."
    ),
    "Processes": (
        "Schedules of learning rate and weight decay as processes of a gas: isotherm, isobar, isochore, adiabat, and "
        "how slow is slow enough. The entropy along a schedule follows from the heat capacity; a sudden drop produces "
        "entropy, a slow one does not; averaging weights cools the gas without a process. The schedules "
        "for your own training rest on these formulas."
    ),
    "Forerunners": (
        "Three earlier papers, as corollaries: temperature as learning rate over batch size, variational inference in "
        "an implicit potential, and SGD near a minimum as an Ornstein–Uhlenbeck process. Each is derived here from "
        "earlier chapters, with what it assumed, so that agreement and difference can be read off."
    ),
}
