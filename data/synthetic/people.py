"""Drawing identities: build, clothes, and what tells twins apart: small marks, and the colours of a bag."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .appearance import PATTERNS, SHAPES, SIZE, Appearance, Bag, Colour, Garment, Mark
from .body import Body, Build, body, skirt_edge

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
# Charts on which marks lie: how many fall on each, and the u and v between which clothes and skin are ever seen.
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
    """An identity: what is the same on all its pictures."""

    body: Body
    appearance: Appearance


def draw_person(look: np.random.Generator, own: np.random.Generator, marks: int, size: tuple[float, float]) -> Person:
    """Draw an identity.

    Args:
        look: decides build and clothes, and whether there is a bag; twins are drawn with equal ones.
        own: decides the marks, and the bag's colours.
        marks: how many there are.
        size: the least and the greatest width of a mark, in centimetres.
    """
    build, appearance = _draw_look(look)
    return Person(body(build), replace(appearance, marks=_draw_marks(own, appearance, marks, size), bag=_draw_bag(own)))


def _draw_look(generator: np.random.Generator) -> tuple[Build, Appearance]:
    draw, chance = generator.uniform, generator.random
    woman = chance() < 0.5
    skirt = float(draw(0.5, 0.98)) if woman and chance() < 0.35 else 0.0
    hair = str(generator.choice(["long", "tail", "full"] if woman else ["short", "short", "full", "bald"]))
    bag = str(generator.choice(["none", "none", "backpack", "shoulder"]))
    capped = chance() < 0.12
    build = Build(
        height=float(generator.normal(1.66 if woman else 1.78, 0.06)),
        shoulders=float(draw(0.86, 0.98) if woman else draw(0.98, 1.14)),
        hips=float(draw(0.98, 1.14) if woman else draw(0.9, 1.04)),
        girth=float(draw(0.86, 1.3)),
        head=float(draw(0.96, 1.06)),
        top_fit=float(draw(1.0, 1.14)),
        bottom_fit=float(draw(0.94, 1.28)),
        skirt=skirt,
        hair="short" if capped and hair == "full" else hair,
        brim=capped,
        bag=bag,
    )
    top = _draw_garment(generator, CLOTHES)
    dress = skirt > 0 and chance() < 0.5
    bottom = top if dress else _draw_garment(generator, DARKS if chance() < 0.6 else CLOTHES, plainer=True)
    trousers = generator.choice([draw(1.65, 2.1), draw(2.9, 3.0), draw(2.9, 3.0)])
    appearance = Appearance(
        skin=_near(generator, SKINS[generator.integers(len(SKINS))], 0.02),
        hair=_near(generator, HAIRS[generator.integers(len(HAIRS))], 0.02),
        hairline=float(draw(0.76, 0.86)) if build.hair != "bald" else 2.0,
        top=top,
        bottom=bottom,
        shoes=_near(generator, SHOES[generator.integers(len(SHOES))], 0.04),
        sleeve=float(generator.choice([draw(0.15, 0.3), draw(0.5, 0.95), draw(1.4, 1.6), 2.0, 2.0])),
        hem=float(draw(0.72, 0.86) if chance() < 0.4 else draw(0.95, 1.22)),
        leg=1.02 + skirt_edge(skirt) if skirt else float(trousers),
        boot=float(draw(2.3, 2.6)) if chance() < 0.15 else 2.95,
        collar=float(draw(0.06, 0.2)),
        long_hair=build.hair == "long",
        cap=_near(generator, CLOTHES[generator.integers(len(CLOTHES))], 0.04) if capped else None,
        straps=bag,
        strap=_near(generator, CLOTHES[generator.integers(len(CLOTHES))], 0.04),
    )
    return build, appearance


def _draw_garment(generator: np.random.Generator, palette: tuple[Colour, ...], plainer: bool = False) -> Garment:
    base, second = (palette[i] for i in generator.choice(len(palette), 2, replace=False))
    pattern = "plain"
    if generator.random() < (0.3 if plainer else 0.6):
        pattern = str(generator.choice(PATTERNS[1:]))
    return Garment(
        _near(generator, base, 0.04),
        _near(generator, second, 0.04),
        pattern,
        period=float(generator.uniform(7, 16)),
        phase=float(generator.uniform()),
    )


def _draw_marks(
    generator: np.random.Generator, under: Appearance, count: int, size: tuple[float, float]
) -> tuple[Mark, ...]:
    """Draw marks of colours that stand out from what is under them."""
    weights = np.array([weight for weight, _, _ in MARKED.values()])
    chart = generator.choice(list(MARKED), count, p=weights / weights.sum())
    width = generator.uniform(*size, count)
    lowest, highest = np.array([MARKED[int(i)][1:] for i in chart]).transpose(2, 0, 1)  # (count, 2) of u and v
    edge = np.minimum(width[:, None] / 2 / SIZE[chart], 0.4)  # keeps it off the chart's border
    place = generator.uniform(np.maximum(lowest, edge), np.maximum(np.minimum(highest, 1 - edge), lowest))
    ground = under.albedo(chart, place[:, 0], place[:, 1])
    contrast = np.abs(np.array(CLOTHES) - ground[:, None]).sum(axis=-1)  # (count, colours)
    marks = []
    for i in range(count):
        far = np.flatnonzero(contrast[i] > min(0.8, contrast[i].max() - 1e-6))
        colour = _near(generator, CLOTHES[generator.choice(far)], 0.05)
        shape = SHAPES[generator.integers(len(SHAPES))]
        u, v = place[i].tolist()
        marks.append(Mark(int(chart[i]), u, v, float(width[i]), shape, colour))
    return tuple(marks)


def _draw_bag(generator: np.random.Generator) -> Bag:
    base, second = (CLOTHES[i] for i in generator.choice(len(CLOTHES), 2, replace=False))
    return Bag(
        _near(generator, base, 0.05),
        _near(generator, second, 0.05),
        period=float(generator.uniform(12, 36)),
        phase=float(generator.uniform()),
        slant=float(generator.uniform(-np.pi / 2, np.pi / 2)),
    )


def _near(generator: np.random.Generator, colour: Colour, spread: float) -> Colour:
    red, green, blue = np.clip(np.array(colour) + generator.uniform(-spread, spread, 3), 0.02, 0.98).tolist()
    return red, green, blue
