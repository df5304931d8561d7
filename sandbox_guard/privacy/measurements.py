"""The constructors of OpenDP that this product trusts, typed: every sampler and every cost comes from here.

Vectors, counts and scores are 64-bit integers, and noise is added in integers, so that no floating-point
artefact of a value can show. Samplers draw from OpenSSL's private generator.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import opendp.prelude as dp
from numpy.typing import NDArray

dp.enable_features("contrib")


class Measurement(Protocol):
    """OpenDP's Measurement: a sampler and its privacy map."""

    def __call__(self, arg: Any) -> Any: ...

    def map(self, d_in: Any) -> Any: ...


class Profile(Protocol):
    """OpenDP's PrivacyProfile."""

    def epsilon(self, delta: float) -> float: ...


_INTEGER = dp.atom_domain(T="i64")
_VECTOR = dp.vector_domain(_INTEGER)
_SCORES = dp.vector_domain(dp.atom_domain(T="u64"))
_COUNTS = dp.map_domain(_INTEGER, _INTEGER)


def gaussian(scale: float) -> Measurement:
    """Integer vector → integer vector. map(l2: float) → rho."""
    measurement: Measurement = dp.m.make_gaussian(_VECTOR, dp.l2_distance(T="f64"), scale=scale)
    return measurement


def laplace(scale: float) -> Measurement:
    """Integer vector → integer vector. map(l1: int) → epsilon."""
    measurement: Measurement = dp.m.make_laplace(_VECTOR, dp.l1_distance(T="i64"), scale=scale)
    return measurement


def thresholded_gaussian(scale: float, threshold: int) -> Measurement:
    """Counts by integer key → those at or above the threshold. map((l0, l2: float, linf: float)) → (rho,
    delta), where delta holds only once counts *equal* to the threshold are dropped (opendp#2922)."""
    metric = dp.l02inf_distance(dp.absolute_distance(T="f64"))
    measurement: Measurement = dp.m.make_gaussian_threshold(_COUNTS, metric, scale=scale, threshold=threshold)
    return measurement


def noisy_min(scale: float) -> Measurement:
    """Vector of scores, all 0 or more → index of about the least. map(largest move of a score: int) → rho.

    Under zCDP OpenDP samples the exponential mechanism, P(index) ~ exp(-score / scale), whose range is
    bounded: epsilon = 2 move / scale, and rho = epsilon² / 8.
    """
    measurement: Measurement = dp.m.make_noisy_max(
        _SCORES, dp.linf_distance(T="u64"), dp.zero_concentrated_divergence(), scale=scale, negate=True
    )
    return measurement


def turned_over(digits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each digit turned over with probability 1/2: randomized response that tells nothing, its map says 0 for digits
    of any weight."""
    bits: Measurement = dp.m.make_randomized_response_bitvec(
        dp.bitvector_domain(max_weight=len(digits)), dp.discrete_distance(), f=1.0
    )
    answered = np.frombuffer(bits(np.packbits(digits).tobytes()), dtype=np.uint8)
    return np.unpackbits(answered, count=len(digits)).astype(np.bool_)


def in_zcdp(pure: Any) -> Measurement:
    """The same measurement; its map gives rho = epsilon² / 2."""
    measurement: Measurement = dp.c.make_pureDP_to_zCDP(pure)
    return measurement


def zcdp_profile(l2: float) -> Profile:
    """The (epsilon, delta) curve of l2² / 2-zCDP, by OpenDP's conversion."""
    profile: Profile = _PROFILE.map(l2)
    return profile


# Gaussian noise of scale 1: the carrier on which a rho is handed to the conversion.
_PROFILE: Measurement = dp.c.make_zCDP_to_approxDP(
    dp.m.make_gaussian(_VECTOR, dp.l2_distance(T="f64"), scale=1.0)
)
