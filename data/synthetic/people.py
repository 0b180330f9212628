"""Samples identities: build, clothes, and what distinguishes twins: small marks, and the colours of a bag."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .appearance import PATTERNS, SHAPES, SIZE, Appearance, Bag, Colour, Garment, Mark
from .body import Body, Build, build_body, skirt_edge

SKINS = ((0.94, 0.78, 0.68), (0.86, 0.67, 0.54), (0.76, 0.56, 0.42), (0.58, 0.41, 0.3), (0.4, 0.27, 0.2))
HAIRS = (
    (0.08, 0.07, 0.07), (0.13, 0.1, 0.09), (0.25, 0.16, 0.1), (0.4, 0.26, 0.15), (0.72, 0.56, 0.33), (0.6, 0.6, 0.6)
)  # fmt: skip
CLOTHES = (
    (0.1, 0.1, 0.12), (0.22, 0.22, 0.25), (0.5, 0.5, 0.52), (0.9, 0.9, 0.88), (0.12, 0.17, 0.34), (0.28, 0.42, 0.66),
    (0.5, 0.68, 0.84), (0.62, 0.12, 0.14), (0.84, 0.3, 0.3), (0.2, 0.4, 0.24), (0.5, 0.5, 0.26), (0.88, 0.75, 0.3),
    (0.75, 0.62, 0.46), (0.38, 0.26, 0.18), (0.46, 0.26, 0.5), (0.92, 0.62, 0.7), (0.85, 0.5, 0.2), (0.2, 0.55, 0.55),
)  # fmt: skip
DARKS = CLOTHES[:2] + CLOTHES[4:6] + CLOTHES[12:14]
SHOES = (CLOTHES[0], CLOTHES[0], CLOTHES[1], CLOTHES[3], CLOTHES[4], CLOTHES[7], CLOTHES[13])
# Charts that marks are on: the weight of each chart, and the range of u and of v where its surface is visible.
MARKED = {
    1: (4.0, (0.12, 0.8), (0.12, 0.88)),
    2: (4.0, (0.12, 0.8), (0.12, 0.88)),
    **dict.fromkeys(range(7, 11), (0.8, (0.3, 0.88), (0.12, 0.88))),
    **dict.fromkeys(range(11, 15), (0.8, (0.1, 0.88), (0.12, 0.88))),
    **dict.fromkeys((15, 16), (0.3, (0.12, 0.88), (0.5, 0.88))),
    **dict.fromkeys((17, 18), (0.7, (0.12, 0.88), (0.15, 0.88))),
}


@dataclass(frozen=True)
class Person:
    """An identity: what is the same in all its images."""

    body: Body
    appearance: Appearance


def sample_person(look: np.random.Generator, own: np.random.Generator, marks: int, size: tuple[float, float]) -> Person:
    """Sample an identity.

    Args:
        look: decides build and clothes, and whether there is a bag; twins have equal generators.
        own: decides the marks and the bag's colours.
        marks: number of marks.
        size: the least and the greatest width of a mark, in centimetres.
    """
    build, appearance = _sample_look(look)
    marked = replace(appearance, marks=_sample_marks(own, appearance, marks, size), bag=_sample_bag(own))
    return Person(build_body(build), marked)


def changed_clothes(person: Person, generator: np.random.Generator) -> Person:
    """Return a person in other clothes: top, bottom, shoes and cap have other colours and patterns.

    Build, lengths of the garments, skin, hair, marks and bag stay. `generator` decides the outfit; twins share it.
    """
    before = person.appearance
    top = _sample_garment(generator, CLOTHES)
    bottom = _sample_garment(generator, DARKS if generator.random() < 0.6 else CLOTHES, plainer=True)
    shoes = _vary(generator, SHOES[generator.integers(len(SHOES))], 0.04)
    cap = _vary(generator, CLOTHES[generator.integers(len(CLOTHES))], 0.04)
    dress = before.top == before.bottom
    worn = replace(
        before, top=top, bottom=top if dress else bottom, shoes=shoes, cap=None if before.cap is None else cap
    )
    return Person(person.body, worn)


def _sample_look(generator: np.random.Generator) -> tuple[Build, Appearance]:
    """Sample what twins share. The order of the calls decides the people: a new one belongs at the end."""
    uniform, chance = generator.uniform, generator.random
    woman = chance() < 0.5
    skirt = float(uniform(0.5, 0.98)) if woman and chance() < 0.35 else 0.0
    hair = str(generator.choice(["long", "tail", "full"] if woman else ["short", "short", "full", "bald"]))
    bag = str(generator.choice(["none", "none", "backpack", "shoulder"]))
    capped = chance() < 0.12
    build = Build(
        height=float(generator.normal(1.66 if woman else 1.78, 0.06)),
        shoulders=float(uniform(0.86, 0.98) if woman else uniform(0.98, 1.14)),
        hips=float(uniform(0.98, 1.14) if woman else uniform(0.9, 1.04)),
        girth=float(uniform(0.86, 1.3)),
        head=float(uniform(0.96, 1.06)),
        top_fit=float(uniform(1.0, 1.14)),
        bottom_fit=float(uniform(0.94, 1.28)),
        skirt=skirt,
        hair="short" if capped and hair == "full" else hair,
        brim=capped,
        bag=bag,
    )
    top = _sample_garment(generator, CLOTHES)
    dress = skirt > 0 and chance() < 0.5
    bottom = top if dress else _sample_garment(generator, DARKS if chance() < 0.6 else CLOTHES, plainer=True)
    trousers = generator.choice([uniform(1.65, 2.1), uniform(2.9, 3.0), uniform(2.9, 3.0)])
    appearance = Appearance(
        skin=_vary(generator, SKINS[generator.integers(len(SKINS))], 0.02),
        hair=_vary(generator, HAIRS[generator.integers(len(HAIRS))], 0.02),
        hairline=float(uniform(0.76, 0.86)) if build.hair != "bald" else 2.0,
        top=top,
        bottom=bottom,
        shoes=_vary(generator, SHOES[generator.integers(len(SHOES))], 0.04),
        sleeve=float(generator.choice([uniform(0.15, 0.3), uniform(0.5, 0.95), uniform(1.4, 1.6), 2.0, 2.0])),
        hem=float(uniform(0.72, 0.86) if chance() < 0.4 else uniform(0.95, 1.22)),
        leg=1.02 + skirt_edge(skirt) if skirt else float(trousers),
        boot=float(uniform(2.3, 2.6)) if chance() < 0.15 else 2.95,
        collar=float(uniform(0.06, 0.2)),
        long_hair=build.hair == "long",
        cap=_vary(generator, CLOTHES[generator.integers(len(CLOTHES))], 0.04) if capped else None,
        straps=bag,
        strap=_vary(generator, CLOTHES[generator.integers(len(CLOTHES))], 0.04),
    )
    return build, appearance


def _sample_garment(generator: np.random.Generator, palette: tuple[Colour, ...], plainer: bool = False) -> Garment:
    base, second = (palette[i] for i in generator.choice(len(palette), 2, replace=False))
    pattern = "plain"
    if generator.random() < (0.3 if plainer else 0.6):
        pattern = str(generator.choice(PATTERNS[1:]))
    return Garment(
        _vary(generator, base, 0.04),
        _vary(generator, second, 0.04),
        pattern,
        period=float(generator.uniform(7, 16)),
        phase=float(generator.uniform()),
    )


def _sample_marks(
    generator: np.random.Generator, under: Appearance, count: int, size: tuple[float, float]
) -> tuple[Mark, ...]:
    """Sample marks in colours that contrast with the surface under them."""
    weights = np.array([weight for weight, _, _ in MARKED.values()])
    chart = generator.choice(list(MARKED), count, p=weights / weights.sum())
    width = generator.uniform(*size, count)
    lowest, highest = np.array([MARKED[int(i)][1:] for i in chart]).transpose(2, 0, 1)  # (count, 2) of u and v
    edge = np.minimum(width[:, None] / 2 / SIZE[chart], 0.4)  # keeps a mark inside its chart
    centre = generator.uniform(np.maximum(lowest, edge), np.maximum(np.minimum(highest, 1 - edge), lowest))
    surface = under.albedo(chart, centre[:, 0], centre[:, 1])
    contrast = np.abs(np.array(CLOTHES) - surface[:, None]).sum(axis=-1)  # (count, colours)
    marks = []
    for i in range(count):
        contrasting = np.flatnonzero(contrast[i] > min(0.8, contrast[i].max() - 1e-6))
        colour = _vary(generator, CLOTHES[generator.choice(contrasting)], 0.05)
        shape = SHAPES[generator.integers(len(SHAPES))]
        u, v = centre[i].tolist()
        marks.append(Mark(int(chart[i]), u, v, float(width[i]), shape, colour))
    return tuple(marks)


def _sample_bag(generator: np.random.Generator) -> Bag:
    base, second = (CLOTHES[i] for i in generator.choice(len(CLOTHES), 2, replace=False))
    return Bag(
        _vary(generator, base, 0.05),
        _vary(generator, second, 0.05),
        period=float(generator.uniform(12, 36)),
        phase=float(generator.uniform()),
        slant=float(generator.uniform(-np.pi / 2, np.pi / 2)),
    )


def _vary(generator: np.random.Generator, colour: Colour, spread: float) -> Colour:
    """Return a colour that differs from `colour` by at most `spread` in each channel."""
    red, green, blue = np.clip(np.array(colour) + generator.uniform(-spread, spread, 3), 0.02, 0.98).tolist()
    return red, green, blue
