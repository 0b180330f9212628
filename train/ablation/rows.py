"""Every row of an ablation: those of the paper's tables, the controls, and what goes beyond the paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .. import recipes, results
from ..published import (
    DSA,
    EVERY_ROW,
    NOT_KNOWN,
    REGION_CONTROLS,
    REGIONS,
    TABLES_DATASET,
    TWO_BRANCHES,
    Row,
    published,
    row_experiment,
)
from ..result_settings import short
from ..results import MEASURES, Result

DISTILLED = "beyond/taught"
PAIR = ("rank1", "mAP")  # of a published result
Made = tuple[int, str, str]  # a seed, and the maps and the digest of a store
MAIN = {
    DSA,
    TWO_BRANCHES,
    DISTILLED,
    *(row.experiment for row in EVERY_ROW if row.table == "control"),
    REGIONS,
    *REGION_CONTROLS,
}
"""Experiments of the main comparisons and of their controls, which are trained from more seeds."""


def table(artifacts: Path, dataset: str) -> str:
    """Return all rows as text: the paper's numbers where it has them for this dataset, and those measured here.

    The recipes follow, with what their authors published.

    A row shows the runs with its own settings, of any seed; all other results are listed below, with their changes.
    """
    found = select(artifacts)
    lines = [*_title(artifacts, dataset), ""]
    names = "".join(f"{name:>8}" for name in ("mAP", "Rank-1", "Rank-5", "Rank-10"))
    lines.append(f"{'':8}{'row':22}{'paper:':>8}{names}{'here:':>8}{names}   --experiment, --match")
    for row, made in found.rows:
        lines += _row(row, dataset, made)
    lines += _recipes(found.recipes)
    lines += _others(found.others, found.manifest)
    return "\n".join(lines)


def plain(artifacts: Path, dataset: str) -> dict[str, Any]:
    """Return what `table` shows as plain values, for JSON; measures are fractions, the published ones percent."""
    found = select(artifacts)
    rows = [
        {
            "table": row.table,
            "row": row.title,
            "experiment": row.experiment,
            "match": row.match,
            "paper": next(iter(published(dataset, row.experiment, row.match).values()), None),
            "here": [_plain(result) for _, result in sorted(made.items(), key=lambda one: one[0])],
        }
        for row, made in found.rows
    ]
    listed = [
        {
            "recipe": recipe.title,
            "experiment": experiment,
            "published": {one: pair and dict(zip(PAIR, pair, strict=True)) for one, pair in pairs.items()},
            "source": recipe.source,
            "here": [_plain(result) for result in sorted(found.recipes[experiment], key=lambda one: one.seed)],
        }
        for name, recipe in recipes.RECIPES.items()
        for pairs in [{one: recipe.of(one) for one in recipes.DATASETS}]
        for experiment in (f"{recipes.FOLDER}{name}", f"{recipes.FOLDER}{name}{recipes.GUIDED}")
    ]
    others = [
        {"experiment": one.experiment, "match": one.match, "changes": changes, **_plain(one)}
        for one in found.others
        for changes in [one.changes(row_experiment(one.experiment), found.manifest)]
    ]
    return {"dataset": dataset, "rows": rows, "recipes": listed, "others": others}


def _plain(result: Result) -> dict[str, Any]:
    return {"seed": result.seed, "maps": result.maps, **{name: result.measures[name] for name in MEASURES}}


class Selection(NamedTuple):
    """The results of a dataset, each where it belongs.

    Attributes:
        rows: every row with the runs of its own settings, by seed and maps.
        recipes: those of each recipe, by its experiment.
        others: those that are no row's and no recipe's.
        manifest: digest of the dataset's manifest.
    """

    rows: list[tuple[Row, dict[Made, Result]]]
    recipes: dict[str, list[Result]]
    others: list[Result]
    manifest: str


def select(artifacts: Path) -> Selection:
    """Return the results in a dataset's folder, each where it belongs."""
    found, manifest = results.read_all(artifacts), results.manifest_of(artifacts)
    shown: set[int] = set()
    rows = []
    for row in EVERY_ROW:
        own = [one for one in found if one.match == row.match and not one.changes(row.experiment, manifest)]
        shown |= {id(one) for one in own}
        rows.append((row, _by_maps(own, row.experiment)))
    measured = {
        name: [
            one for one in found if one.match == "main" and one.experiment == name and not one.changes(name, manifest)
        ]
        for name in recipes.EXPERIMENTS
    }
    shown |= {id(one) for own in measured.values() for one in own}
    return Selection(rows, measured, [one for one in found if id(one) not in shown], manifest)


def _recipes(measured: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    """Yield lines of the recipes: what their authors published, the results of their own settings, and the sources."""
    yield from ["", "Recipes: published by their authors and measured here, Rank-1/mAP in percent."]
    yield f"{NOT_KNOWN} is a number that was not read in a source. {recipes.GUIDED}: with the guide on top."
    titles = "".join(f"{title:>13}" for title in recipes.DATASETS.values())
    yield f"{'recipe':18}{titles}{'here':>12}   --experiment"
    for name, recipe in recipes.RECIPES.items():
        published = "".join(f"{_pair(recipe.of(dataset)):>13}" for dataset in recipes.DATASETS)
        for end, start in (("", f"{recipe.title:18}{published}"), (recipes.GUIDED, "")):
            experiment = f"{recipes.FOLDER}{name}{end}"
            own = sorted(measured[experiment], key=lambda one: one.seed)
            for number, result in enumerate(own or [None]):
                here = "not yet" if result is None else _pair([100 * result.measures[one] for one in ("rank1", "mAP")])
                seed = f"  seed {result.seed}" if result is not None and result.seed else ""
                maps = "" if result is None else _maps(result)
                yield f"{start if number == 0 else '':70}{here:>12}   {experiment}{seed}{maps}"
    yield "Sources:"
    yield from (f"  {recipe.title}: {recipe.source}" for recipe in recipes.RECIPES.values())


def _pair(values: Sequence[float] | None) -> str:
    return NOT_KNOWN if values is None else "/".join(f"{value:.1f}" for value in values)


def _title(artifacts: Path, dataset: str) -> list[str]:
    here = f"Here: measured on the dataset of {artifacts}, with the settings of the row."
    if dataset == TABLES_DATASET:
        return [f"Paper: published for Market-1501; {NOT_KNOWN} is a number of the paper that is not known here.", here]
    return [f"The paper's Tables 3 to 5 are of Market-1501: dsa-train experiments --dataset {TABLES_DATASET}.", here]


def _by_maps(own: Sequence[Result], experiment: str) -> dict[Made, Result]:
    """Return a row's results by seed and maps; of two runs with the same of both, that of the row's own name."""
    first = sorted(own, key=lambda one: (one.seed, one.experiment != experiment))
    return {(one.seed, one.maps, one.store): one for one in reversed(first)}


def _row(row: Row, dataset: str, made: Mapping[Made, Result]) -> Iterator[str]:
    table_ = f"Table {row.table}" if isinstance(row.table, int) else row.table
    paper = next(iter(published(dataset, row.experiment, row.match).values()), {})
    cells = "".join(f"{_paper_cell(paper, name):>8}" for name in MEASURES)
    measured = f"{'not yet':>16}{'':24}"
    seeds = {seed for seed, *_ in made}
    for number, (one, result) in enumerate(sorted(made.items())):
        seed, measured = one[0], f"{'':8}{_cells(result.measures)}"
        start = f"{table_:8}{row.title:22}{'':8}{cells}" if number == 0 else " " * 70
        of_seed = f"  seed {seed}" if len(seeds) > 1 or seed else ""
        yield f"{start}{measured}   {row.experiment} {row.match}{of_seed}{_maps(result)}"
    if not made:
        yield f"{table_:8}{row.title:22}{'':8}{cells}{measured}   {row.experiment} {row.match}"


def _others(other: Sequence[Result], manifest: str) -> list[str]:
    """Return lines of the results that are no row's, with what differs from the settings of the row of their name."""
    if not other:
        return []
    width = max(len(f"{one.experiment} {one.match}") for one in other) + 2
    names = "".join(f"{name:>8}" for name in ("mAP", "Rank-1", "Rank-5", "Rank-10"))
    lines = ["", f"{'Other results':{width}}{names}   settings that differ from those of the row of that name"]
    for one in other:
        changes = one.changes(row_experiment(one.experiment), manifest)
        seed = f", seed {one.seed}" if one.seed else ""
        lines.append(
            f"{f'{one.experiment} {one.match}':{width}}{_cells(one.measures)}   {short(changes)}{seed}{_maps(one)}"
        )
    return lines


def _maps(result: Result) -> str:
    return f"  maps: {result.maps}" if result.maps else ""


def _paper_cell(paper: Mapping[str, float | None], name: str) -> str:
    if name not in paper:
        return ""
    value = paper[name]
    return NOT_KNOWN if value is None else f"{value:.1f}"


def _cells(measures: Mapping[str, Any]) -> str:
    return "".join(f"{100 * measures[name]:8.1f}" for name in MEASURES)
