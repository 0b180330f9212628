"""From distances to probabilities: that two images show one person, and that a person is in a gallery at all."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import ModelError
from .presence import Presence

Numbers = torch.Tensor | np.ndarray
AGAIN = "Calibrate again: dsa-train calibrate."
NEWER = (
    "The model's calibration has other values than this dsa_reid knows: a newer one wrote it, or it is damaged. "
    f"Install the newest dsa-reid. {AGAIN}"
)
GREATEST = 60.0  # of log odds, either way: probabilities stay above 0 and below 1


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What distances of a model mean, Euclidean or visible ones, fitted on people held out from its training.

    Attributes:
        offset, slope: P(same person | distance d) = 1 / (1 + exp(slope · d - offset)), at even odds before the distance
            is known. exp(offset - slope · d) therefore is the likelihood ratio of "same" to "different".
        present_offset, present_slope: P(the person is in the gallery) = 1 / (1 + exp(-present_offset - present_slope ·
            evidence)), at even odds; see `evidence`. A slope of 0 says that searches do not tell. Of models of before
            there was `present`.
        people, images: on which it was fitted.
        thresholds: (false-match rate, distance, low, high): at that distance so large a share of the pairs of different
            people are taken for the same; with the distance's 95% interval over people.
        present: P(the person is in the gallery) by the nearest image; replaces `evidence` unless it is None.
    """

    offset: float
    slope: float
    present_offset: float
    present_slope: float
    people: int
    images: int
    thresholds: tuple[tuple[float, float, float, float], ...] = ()
    present: Presence | None = None

    def __post_init__(self) -> None:
        """Check the values, which may come from a file. Raises ModelError."""
        plain = [self.offset, self.slope, self.present_offset, self.present_slope]
        plain += [one for row in self.thresholds for one in row]
        if not all(isinstance(one, int | float) and math.isfinite(one) for one in plain):
            raise ModelError("The model's calibration holds what is not a number. Train again: dsa-train run.")
        if self.slope < 0 or self.present_slope < 0:
            raise ModelError("The model's calibration grows with the distance. Train again: dsa-train run.")

    def log_ratio(self, distances: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the log of the likelihood ratio of "same person" to "different" for distances."""
        return np.clip(self.offset - self.slope * np.asarray(distances, np.float64), -GREATEST, GREATEST)

    def probability(self, distances: Numbers | float, prior: float = 0.5) -> Any:
        """Return the probability that two images at a distance show the same person.

        Args:
            distances: of any shape and of the kind that it was fitted on; a tensor, an array or a number.
            prior: the share of such pairs among those that are compared. At the default, 0.5, pairs of the same and of
                different people are equally frequent; in a search they are not.

        Returns the same type, float32 for tensors. Raises ModelError for a prior that is not between 0 and 1.
        """
        _check_share("prior", prior)
        odds = self.log_ratio(_array(distances)) + math.log(prior / (1 - prior))
        return _like(1 / (1 + np.exp(-odds)), distances)

    def evidence(
        self, distances: NDArray[np.floating], gallery: int | None = None, sample: NDArray[np.floating] | None = None
    ) -> NDArray[np.float64]:
        """Return how much more the gallery resembles each query than is usual for that query, a log, (...,).

        It is the log of the mean likelihood ratio over the gallery, less its expectation if all images showed others,
        whose distances from this query are normally distributed: some queries are near everybody.

        Args:
            distances: (..., K), to the gallery, or to its K nearest images; inf for none.
            gallery: images in the gallery; K if None.
            sample: (..., S), to a sample of the gallery, which says what is usual, and what those add that are not
                among the nearest; `distances` if None.
        """
        near = np.isfinite(distances)
        total = np.where(near, np.exp(self.log_ratio(np.where(near, distances, 0))), 0).sum(-1)
        usual = np.asarray(distances if sample is None else sample, np.float64)
        if gallery is not None and sample is not None:
            farthest = np.where(near, distances, -np.inf).max(-1, keepdims=True)
            beyond = np.where(usual > farthest, np.exp(self.log_ratio(usual)), 0)
            count = np.maximum((usual > farthest).sum(-1), 1)
            total = total + np.maximum(gallery - near.sum(-1), 0) * beyond.sum(-1) / count
        mean = np.log(np.maximum(total, np.exp(-GREATEST))) - math.log(gallery or distances.shape[-1])
        return np.asarray(mean - self._expected(usual))

    def nearest_and_expected(
        self, distances: NDArray[np.floating], sample: NDArray[np.floating] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the log likelihood ratio of the nearest image, and the log of the mean ratio with others, (...,) each.

        Arguments are as for `evidence`.
        """
        nearest = np.asarray(distances, np.float64).min(-1)
        there = np.isfinite(nearest)
        ratio = np.where(there, self.log_ratio(np.where(there, nearest, 0)), -GREATEST)
        return ratio, self._expected(np.asarray(distances if sample is None else sample, np.float64))

    def _expected(self, usual: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log of the mean likelihood ratio, for distances (..., S) that are normally distributed.

        Infinite ones, of images that are no answer, are left out; if all are, the mean is that of the pairs of the fit,
        whose ratio is 1.
        """
        near = np.isfinite(usual)
        count = np.maximum(near.sum(-1), 1)
        mean = np.where(near, usual, 0).sum(-1) / count
        variance = (np.where(near, usual - np.where(near, mean[..., None], 0), 0) ** 2).sum(-1) / count
        expected = self.offset - self.slope * mean + self.slope**2 * variance / 2
        return np.asarray(np.where(near.any(-1), expected, 0.0))

    def presence_odds(
        self, distances: NDArray[np.floating], gallery: int | None = None, sample: NDArray[np.floating] | None = None
    ) -> NDArray[np.float64]:
        """Return the log odds that the person is in the gallery, at even odds before the search; see `evidence`."""
        if self.present is None:
            odds = self.present_offset + self.present_slope * self.evidence(distances, gallery, sample)
        else:
            nearest, expected = self.nearest_and_expected(distances, sample)
            odds = self.present.log_odds(nearest, expected, gallery or distances.shape[-1])
        return np.clip(odds, -GREATEST, GREATEST)

    def presence(
        self, distances: Numbers, gallery: int | None = None, sample: Numbers | None = None, prior: float = 0.5
    ) -> Any:
        """Return the probability that each query's person is in a gallery.

        Args:
            distances, gallery, sample: (Q, K) and (Q, S), see `evidence`.
            prior: the probability before the search.

        Returns (Q,), the same type. Raises ModelError for a prior that is not between 0 and 1, and for a gallery
        without an image.
        """
        _check_share("prior", prior)
        images = _array(distances).shape[-1] if gallery is None else gallery
        if images < 1 or not _array(distances).shape[-1]:
            raise ModelError("A gallery without an image has no probability. Give distances to at least one image.")
        odds = self.presence_odds(_array(distances), gallery, None if sample is None else _array(sample))
        return _like(1 / (1 + np.exp(-odds - math.log(prior / (1 - prior)))), distances)

    def written(self) -> dict[str, Any]:
        """Return it as plain values, for model files and exports; without `present` where there is none."""
        content = {**dataclasses.asdict(self), "thresholds": [list(row) for row in self.thresholds]}
        if self.present is None:
            del content["present"]
        return content


def read_calibration(content: Mapping[str, Any] | None) -> Calibration | None:
    """Return the calibration that `Calibration.written` wrote; None for none. Raises TypeError or ModelError."""
    if content is None:
        return None
    if not isinstance(content, Mapping) or not content.keys() <= _known(Calibration):
        raise ModelError(NEWER)
    rows = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in content.get("thresholds", ()))
    present = content.get("present")
    if present is not None:
        if not isinstance(present, Mapping) or present.keys() != _known(Presence):
            raise ModelError(NEWER)
        present = Presence(**present)
    return Calibration(**{**content, "thresholds": rows, "present": present})


def _known(cls: type[Calibration | Presence]) -> set[str]:
    """Return the names of a calibration's values."""
    return {field.name for field in dataclasses.fields(cls)}


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ModelError(f"{name} = {value!r} is invalid: expected a probability above 0 and below 1.")


def _array(values: Numbers | float) -> NDArray[np.floating]:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def _like(result: NDArray[np.float64], given: Numbers | float) -> Any:
    """Return a result in the type of what was given."""
    if isinstance(given, torch.Tensor):
        return torch.from_numpy(np.asarray(result, np.float32)).to(given.device)
    return result if isinstance(given, np.ndarray) else float(result)
