"""Formulas with the names of their arguments; written by `python -m thermo_theory.theory`."""

from typing import Any, Literal, overload

from numpy.typing import ArrayLike

from thermo_theory.engine.formula import Formula
from thermo_theory.numeric.domain import Invalid
from thermo_theory.protocols import Protocol

class _Of_R(Formula):
    def __call__(self, *, R: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_R_T(Formula):
    def __call__(self, *, R: ArrayLike, T: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_T_d_r(Formula):
    def __call__(self, *, T: ArrayLike, d: ArrayLike, r: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_beta1_d_eta_lam_sigma(Formula):
    def __call__(self, *, beta1: ArrayLike, d: ArrayLike, eta: ArrayLike, lam: ArrayLike, sigma: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_beta1_eta_lam(Formula):
    def __call__(self, *, beta1: ArrayLike, eta: ArrayLike, lam: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_beta_d_eta_lam_sigma(Formula):
    def __call__(self, *, beta: ArrayLike, d: ArrayLike, eta: ArrayLike, lam: ArrayLike, sigma: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_beta_eta_lam(Formula):
    def __call__(self, *, beta: ArrayLike, eta: ArrayLike, lam: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_d_T(Formula):
    def __call__(self, *, d: ArrayLike, T: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_d_eta_eff_lam_r0_sigma_t(Formula):
    def __call__(self, *, d: ArrayLike, eta_eff: ArrayLike, lam: ArrayLike, r0: ArrayLike, sigma: ArrayLike, t: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_d_eta_eff_lam_sigma(Formula):
    def __call__(self, *, d: ArrayLike, eta_eff: ArrayLike, lam: ArrayLike, sigma: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_d_eta_lam(Formula):
    def __call__(self, *, d: ArrayLike, eta: ArrayLike, lam: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_d_eta_lam_r0_sigma_t(Formula):
    def __call__(self, *, d: ArrayLike, eta: ArrayLike, lam: ArrayLike, r0: ArrayLike, sigma: ArrayLike, t: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_d_eta_lam_sigma(Formula):
    def __call__(self, *, d: ArrayLike, eta: ArrayLike, lam: ArrayLike, sigma: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_d_eta_r_sigma(Formula):
    def __call__(self, *, d: ArrayLike, eta: ArrayLike, r: ArrayLike, sigma: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_eta_eff_lam_r(Formula):
    def __call__(self, *, eta_eff: ArrayLike, lam: ArrayLike, r: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_eta_eff_sigma(Formula):
    def __call__(self, *, eta_eff: ArrayLike, sigma: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_eta_lam(Formula):
    def __call__(self, *, eta: ArrayLike, lam: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_eta_r_sigma(Formula):
    def __call__(self, *, eta: ArrayLike, r: ArrayLike, sigma: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _Of_r0(Formula):
    def __call__(self, *, r0: ArrayLike, invalid: Invalid = ...) -> Any: ...  # type: ignore[override]

class _momentum(Protocol):
    @property
    def angle(self) -> _Of_beta_eta_lam: ...
    @property
    def chord(self) -> _Of_beta_eta_lam: ...
    @property
    def rotation(self) -> _Of_beta_eta_lam: ...
    @property
    def radius(self) -> _Of_beta_d_eta_lam_sigma: ...
    @property
    def temperature(self) -> _Of_beta_d_eta_lam_sigma: ...
    @property
    def ideal_gas_law(self) -> _Of_R_T: ...
    @property
    def symmetry(self) -> Formula: ...
    @property
    def maxwell(self) -> _Of_R: ...

class _nesterov(Protocol):
    @property
    def angle(self) -> _Of_beta_eta_lam: ...
    @property
    def chord(self) -> _Of_beta_eta_lam: ...
    @property
    def rotation(self) -> _Of_beta_eta_lam: ...
    @property
    def radius(self) -> _Of_beta_d_eta_lam_sigma: ...
    @property
    def temperature(self) -> _Of_beta_d_eta_lam_sigma: ...
    @property
    def ideal_gas_law(self) -> _Of_R_T: ...
    @property
    def symmetry(self) -> Formula: ...
    @property
    def maxwell(self) -> _Of_R: ...

class _adamw(Protocol):
    @property
    def angle(self) -> _Of_beta1_eta_lam: ...
    @property
    def chord(self) -> _Of_beta1_eta_lam: ...
    @property
    def rotation(self) -> _Of_beta1_eta_lam: ...
    @property
    def radius(self) -> _Of_d_eta_lam: ...
    @property
    def temperature(self) -> _Of_d_eta_lam_sigma: ...
    @property
    def ideal_gas_law(self) -> _Of_R_T: ...
    @property
    def symmetry(self) -> Formula: ...
    @property
    def maxwell(self) -> _Of_R: ...

class _adam_l2(Protocol):
    @property
    def angle(self) -> _Of_beta1_d_eta_lam_sigma: ...
    @property
    def chord(self) -> _Of_beta1_d_eta_lam_sigma: ...
    @property
    def rotation(self) -> _Of_beta1_d_eta_lam_sigma: ...
    @property
    def radius(self) -> _Of_d_eta_lam_sigma: ...
    @property
    def temperature(self) -> _Of_d_eta_lam_sigma: ...
    @property
    def ideal_gas_law(self) -> _Of_R_T: ...
    @property
    def symmetry(self) -> Formula: ...
    @property
    def maxwell(self) -> _Of_R: ...

class _FixedSphere(Protocol):
    @property
    def radius(self) -> _Of_r0: ...
    @property
    def temperature(self) -> _Of_eta_r_sigma: ...
    @property
    def ideal_gas_law(self) -> _Of_R_T: ...
    @property
    def symmetry(self) -> Formula: ...
    @property
    def trajectory(self) -> _Of_r0: ...
    @property
    def relaxation_time(self) -> _Of_d_eta_r_sigma: ...
    @property
    def pressure(self) -> _Of_T_d_r: ...
    @property
    def potential(self) -> Formula: ...
    @property
    def maxwell(self) -> _Of_R: ...

class _FixedELR(Protocol):
    @property
    def radius(self) -> _Of_d_eta_eff_lam_sigma: ...
    @property
    def temperature(self) -> _Of_eta_eff_sigma: ...
    @property
    def ideal_gas_law(self) -> _Of_R_T: ...
    @property
    def symmetry(self) -> Formula: ...
    @property
    def trajectory(self) -> _Of_d_eta_eff_lam_r0_sigma_t: ...
    @property
    def relaxation_time(self) -> _Of_eta_eff_lam_r: ...
    @property
    def potential(self) -> Formula: ...
    @property
    def maxwell(self) -> _Of_R: ...

class _FixedLR(Protocol):
    @property
    def angle(self) -> _Of_eta_lam: ...
    @property
    def chord(self) -> _Of_eta_lam: ...
    @property
    def rotation(self) -> _Of_eta_lam: ...
    @property
    def radius(self) -> _Of_d_eta_lam_sigma: ...
    @property
    def temperature(self) -> _Of_d_eta_lam_sigma: ...
    @property
    def ideal_gas_law(self) -> _Of_R_T: ...
    @property
    def symmetry(self) -> Formula: ...
    @property
    def trajectory(self) -> _Of_d_eta_lam_r0_sigma_t: ...
    @property
    def relaxation_time(self) -> _Of_eta_lam: ...
    @property
    def potential(self) -> Formula: ...
    @property
    def maxwell(self) -> _Of_R: ...
    @overload
    def with_optimizer(self, name: Literal["momentum"]) -> _momentum: ...
    @overload
    def with_optimizer(self, name: Literal["nesterov"]) -> _nesterov: ...
    @overload
    def with_optimizer(self, name: Literal["adamw"]) -> _adamw: ...
    @overload
    def with_optimizer(self, name: Literal["adam-l2"]) -> _adam_l2: ...
    @overload
    def with_optimizer(self, name: str) -> Protocol: ...

FixedSphere: _FixedSphere
FixedELR: _FixedELR
FixedLR: _FixedLR
energy: _Of_d_T
entropy: _Of_d_T
heat_capacity: _Of_d_T
adiabatic_index: _Of_d_T
