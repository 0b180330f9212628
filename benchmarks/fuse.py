"""How many errors of maps `dsap fuse` finds and corrects, on rendered people whose true maps are known.

    python benchmarks/fuse.py

Six images of each person are rendered, and their maps get the errors of an estimator (`extract.errors`) at several
rates. `dsap fuse` is compared with the judgement of each map alone, by its layout. Then some maps are turned around as
a whole (`extract.errors.turned`), and are sought with several values of `fuse.turned`. `--fit` prints the weights of
`dsap/fuse/judge.py`, fitted to people of another seed. Results go to benchmarks/results/fuse_synthetic.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from densepose_extract.config import EstimatorErrors
from densepose_extract.engines.estimator_errors import Estimate, estimate
from densepose_extract.engines.stated import TOLERANCE
from dsa_data.synthetic import shots
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.render import render
from dsap.fuse.exchange import LIMBS
from dsap.fuse.person import Evidence, Fused, corrected, fuse, judge_alone
from dsap.fuse.surface import distances, gain_against, pixels_of, smoothed, sums_of
from dsap.fuse.turns import Turn, find_turns

RATES = (0.5, 1.0, 2.0)
SIZE = 16
FITTED, MEASURED = 101, 202  # seeds of the people
TURNED = 0.05  # share of the maps that are turned around, at rate 1
SHARES = (0.01, 0.02, 0.05)  # values of `fuse.turned`
NEVER = 1e-9  # a share so small that nothing is turned: the first look at the maps


@dataclasses.dataclass(frozen=True)
class Person:
    """Rendered images of one person, with their true maps."""

    images: list[np.ndarray]
    maps: list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Case:
    """The arms or legs of one map: their evidence alone and with the surface, and the truth."""

    limbs: str
    alone: Evidence
    fused: Evidence
    exchanged: bool


def people(seed: int, count: int) -> Iterator[Person]:
    """Yield rendered people, six images each."""
    settings = SynthConfig(seed=seed, train_identities=count, test_identities=2, distractors=0, junk=0)
    for group in shots.plan(settings)[:count]:
        pairs = [render(shots.scene_of(settings, shot)) for shot in group]
        yield Person([image for image, _ in pairs], [iuv for _, iuv in pairs])


def estimates(person: Person, number: int, rate: float, turned: float = 0.0) -> list[Estimate]:
    """Return the person's maps with errors; with the same random numbers at every rate."""
    errors = EstimatorErrors(rate=rate, turned=turned)
    return [
        estimate(iuv, errors, np.random.default_rng([errors.seed, number, image]))
        for image, iuv in enumerate(person.maps)
    ]


def cases(made: list[Estimate], fused: Fused) -> Iterator[Case]:
    """Yield the arms and the legs of all maps in which some of them are seen."""
    for one, evidence in zip(made, fused.evidence, strict=True):
        alone = judge_alone(one.iuv)
        for limbs, charts in LIMBS.items():
            if np.isin(one.iuv[..., 0], charts).any():
                yield Case(limbs, alone[limbs], evidence[limbs], bool(one.swapped[np.ravel(charts)].any()))


def right(iuv: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return for each body pixel of a map whether it has the true chart, and u and v within the tolerance."""
    body = iuv[..., 0] > 0
    ours, theirs = iuv[body].astype(int), true[body].astype(int)
    return (ours[:, 0] == theirs[:, 0]) & (np.hypot(*(ours - theirs)[:, 1:].T) <= TOLERANCE)


def disagreements(person: Person, maps: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield of each image the pixels' distances from the surface of the others, and whether they are wrong."""
    bodies = [pixels_of(image, iuv, SIZE) for image, iuv in zip(person.images, maps, strict=True)]
    gains = [1 / np.maximum(body.colour.mean(axis=0), 0.01) if len(body.texel) else np.ones(3) for body in bodies]
    sums = [smoothed(sums_of(body, gain, SIZE), SIZE) for body, gain in zip(bodies, gains, strict=True)]
    total = np.sum(sums, axis=0)
    for body, gain, own, iuv, true in zip(bodies, gains, sums, maps, person.maps, strict=True):
        distance, known = distances(body, gain_against(body, total - own, gain), total - own)
        yield distance[known], ~right(iuv, true)[known]


def area(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Return the area under the ROC curve; None without both kinds."""
    if positive.all() or not positive.any():
        return None
    ranks = np.empty(len(scores))
    ranks[scores.argsort(kind="stable")] = np.arange(len(scores))
    ones = positive.sum()
    return round(float((ranks[positive].sum() - ones * (ones - 1) / 2) / (ones * (len(scores) - ones))), 3)


def of_limbs(found: list[Case], which: str) -> dict[str, Any]:
    """Return how many of the exchanged limbs are found by `which` evidence, and how many others are taken for it."""
    truth = np.array([case.exchanged for case in found])
    probability = np.array([getattr(case, which).probability for case in found])
    said = probability > 0.5
    return {
        "found": round(float(said[truth].mean()), 3),
        "false": round(float(said[~truth].mean()), 4),
        "exchanged_after": round(float((said != truth).mean()), 4),
        "area": area(probability, truth),
    }


def measure(crowd: list[Person], rate: float) -> dict[str, Any]:
    """Return the figures at one rate."""
    found: list[Case] = []
    before, after, distance, wrong = [], [], [], []
    for number, person in enumerate(crowd):
        made = estimates(person, number, rate)
        maps = [one.iuv for one in made]
        fused = fuse(person.images, maps, SIZE)
        found += cases(made, fused)
        mended = [corrected(iuv, evidence) for iuv, evidence in zip(maps, fused.evidence, strict=True)]
        before += [right(iuv, true) for iuv, true in zip(maps, person.maps, strict=True)]
        after += [right(iuv, true) for iuv, true in zip(mended, person.maps, strict=True)]
        for far, bad in disagreements(person, mended):
            distance.append(far)
            wrong.append(bad)
    result: dict[str, Any] = {"rate": rate}
    for limbs in LIMBS:
        chosen = [case for case in found if case.limbs == limbs]
        result[limbs] = {
            "seen": len(chosen),
            "exchanged": sum(case.exchanged for case in chosen),
            "alone": of_limbs(chosen, "alone"),
            "fused": of_limbs(chosen, "fused"),
        }
    result["right_pixels"] = round(float(np.concatenate(before).mean()), 4)
    result["right_pixels_corrected"] = round(float(np.concatenate(after).mean()), 4)
    result["area_of_distance_from_surface"] = area(np.concatenate(distance), np.concatenate(wrong))
    return result


def turns_of(person: Person, made: list[Estimate], share: float) -> list[Turn]:
    """Return what `dsap fuse` finds of the person's maps."""
    return find_turns(person.images, [corrected(one.iuv, judge_alone(one.iuv)) for one in made], SIZE, share)


def measure_turned(crowd: list[Person], rate: float, turned: float) -> dict[str, Any]:
    """Return the figures of maps that are turned around at one rate."""
    made = [estimates(person, number, rate, turned) for number, person in enumerate(crowd)]
    seen = np.array([bool(one.iuv.any()) for of_person in made for one in of_person])
    truth = np.array([one.turned for of_person in made for one in of_person])[seen]
    result: dict[str, Any] = {"rate": rate, "maps": int(seen.sum()), "turned": int(truth.sum())}
    for share in (NEVER, *SHARES):
        found = [turn for person, one in zip(crowd, made, strict=True) for turn in turns_of(person, one, share)]
        probability = np.array([turn.probability for turn in found])[seen]
        said = probability > 0.5
        if share == NEVER:
            result["area_of_first_look"] = area(probability, truth)
            continue
        result[f"share_{share}"] = {
            "found": round(float(said[truth].mean()), 3) if truth.any() else None,
            "false": round(float(said[~truth].mean()), 4),
            "turned_after": round(float((said != truth).mean()), 4),
            "area": area(probability, truth),
        }
    return result


def logistic(x: np.ndarray, truth: np.ndarray) -> list[float]:
    """Return the weights of a logistic regression of `truth` (n,) on `x` (n, k): Newton's method, a ridge of 1e-3."""
    w = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -50, 50)))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(len(w))
        w += np.linalg.solve(curvature, x.T @ (truth - p) - 1e-3 * w)
    return [round(float(value), 2) for value in w]


def fit_turned(crowd: list[Person]) -> list[float]:
    """Return the weights of `judge.TURNED`, over all rates together.

    Turned around by us, a map has the same clues with the other sign: each map counts once as it is and once so.
    """
    clues, truth = [], []
    for rate in RATES:
        for number, person in enumerate(crowd):
            made = estimates(person, number, rate, TURNED)
            clues += [(turn.head, turn.torso, turn.limbs) for turn in turns_of(person, made, NEVER)]
            truth += [one.turned for one in made]
    x, y = np.array(clues), np.array(truth, float)
    return logistic(np.concatenate([x, -x]), np.concatenate([y, 1 - y]))


def fit(crowd: list[Person]) -> dict[str, list[float]]:
    """Return the weights of `judge.WEIGHTS`, over all rates together."""
    found: list[Case] = []
    for rate in RATES:
        for number, person in enumerate(crowd):
            made = estimates(person, number, rate)
            found += cases(made, fuse(person.images, [one.iuv for one in made], SIZE))
    weights = {}
    for limbs in LIMBS:
        chosen = [case for case in found if case.limbs == limbs]
        x = np.array([(1, case.fused.across, case.fused.near, case.fused.nearer) for case in chosen])
        truth = np.array([case.exchanged for case in chosen], float)
        weights[limbs] = logistic(x, truth)
    return weights


def main() -> None:
    """Measure, or fit, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--turned-people", type=int, default=150, help="people of the maps that are turned around")
    parser.add_argument("--fit", action="store_true", help="print the weights of judge.py instead")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "fuse_synthetic.json")
    args = parser.parse_args()
    if args.fit:
        crowd = list(people(FITTED, args.turned_people))
        print(json.dumps({**fit(crowd[: args.people]), "turned": fit_turned(crowd)}))
        return
    crowd = list(people(MEASURED, args.turned_people))
    everybody, crowd = crowd, crowd[: args.people]
    result = {
        "command": f"python benchmarks/fuse.py --people {args.people} --turned-people {args.turned_people}",
        "people": len(crowd),
        "images": sum(len(person.images) for person in crowd),
        "seed": MEASURED,
        "size": SIZE,
        "rates": [measure(crowd, rate) for rate in RATES],
        "turned_people": len(everybody),
        "turned_share_at_rate_1": TURNED,
        "turned": [measure_turned(everybody, rate, TURNED) for rate in RATES],
        "none_turned": [measure_turned(everybody, rate, 0.0) for rate in RATES],
    }
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
