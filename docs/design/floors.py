"""Draw docs/pictures/floors.svg: the packages as floors, their sub-packages as rooms.

    python docs/design/floors.py

A package may import from floors below it, a room of train/ from rooms to its left. tests/test_floors.py checks the
imports, tests/test_docs.py that the picture is this script's and shows every folder.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "pictures" / "floors.svg"

# from the ground up: folder, what it is, rooms from left to right with what each holds
FLOORS: list[tuple[str, str, list[tuple[str, list[str]]]]] = [
    (
        "dsa_reid",
        "the deployed package: main stream, model file, embedding, distances, search, export",
        [("decoding", ["one decoder for", "every image"])],
    ),
    ("dsa_app", "what every command needs: settings, console, errors, processes, file locks", []),
    (
        "data",
        "dsa_data: records, manifest, images, charts, checks",
        [
            ("sets", ["one file for", "each dataset"]),
            ("stores", ["the HDF5 schema:", "IUV, DSAP, features"]),
            ("synthetic", ["rendered people with", "true I, U, V"]),
            ("sharing", ["pack and unpack for", "another clone"]),
        ],
    ),
    (
        "densepose_extract",
        "stage one: I, U, V maps",
        [
            ("network", ["DensePose R-CNN", "in torch"]),
            ("weights", ["public checkpoints,", "read safely"]),
            ("pose", ["maps from landmarks", "and a person mask"]),
            ("engines", ["native, rendered,", "import, pose, ..."]),
        ],
    ),
    (
        "dsap",
        "stage two: the warp into 24 part images, its mirror rule",
        [("warp.py, …", ["the warp, stage,", "coarse parts"]), ("fuse", ["one surface a", "person"])],
    ),
    (
        "train",
        "dsa_train: stage three. A room imports only from rooms to its left.",
        [
            ("network", ["two streams,", "guide, fusion"]),
            ("losses", ["the paper's,", "distillation"]),
            ("batches", ["P × K sampler,", "augmentation"]),
            ("evaluation", ["Rank-k, mAP,", "re-ranking"]),
            ("gallery", ["features of", "folders, search"]),
            ("explain", ["where features", "look"]),
            ("probe", ["whether maps", "help pooling"]),
            ("loop.py, …", ["stage, config,", "checkpoint"]),
            ("ablation", ["Tables 3 to 5,", "controls"]),
            ("comparison", ["models beside", "each other"]),
            ("pages", ["the report for", "a browser"]),
            ("browse", ["a local page", "to search"]),
            ("commands", ["one file for", "each command"]),
        ],
    ),
]

WIDTH, MARGIN, LABEL, GAP = 1760, 20, 196, 8
FLOOR, ROOM = 46, 64  # heights: a floor's title line, a floor's rooms
FILLS = ["#dfe7ef", "#e3eee6", "#f3ecd9", "#f4e3dc", "#ece2f0", "#e4e4e4"]
FONT = "font-family='Helvetica, Arial, sans-serif'"


def text(x: float, y: float, words: str, size: int = 14, bold: bool = False, colour: str = "#222") -> str:
    """Return one line of text."""
    weight = " font-weight='bold'" if bold else ""
    return f"<text x='{x:g}' y='{y:g}' {FONT} font-size='{size}'{weight} fill='{colour}'>{escape(words)}</text>"


def box(x: float, y: float, width: float, height: float, fill: str) -> str:
    """Return a rectangle with a thin edge."""
    return (
        f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='4' fill='{fill}' "
        "stroke='#8a8a8a' stroke-width='1'/>"
    )


def height(rooms: list[tuple[str, list[str]]]) -> int:
    """Return the height of a floor."""
    return FLOOR + (ROOM + GAP if rooms else 0)


def draw() -> str:
    """Return the picture as SVG."""
    inner = WIDTH - 2 * MARGIN - LABEL - GAP
    total = 2 * MARGIN + 24 + sum(height(rooms) + GAP for _, _, rooms in FLOORS)
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{total}' viewBox='0 0 {WIDTH} {total}'>",
        "<title>Floors and rooms of the project</title>",
        f"<rect x='0' y='0' width='{WIDTH}' height='{total}' fill='#ffffff'/>",
    ]
    y = float(MARGIN)
    for (name, words, rooms), fill in zip(reversed(FLOORS), reversed(FILLS), strict=True):
        high = height(rooms)
        lines += [box(MARGIN, y, WIDTH - 2 * MARGIN, high, fill), text(MARGIN + 12, y + 29, f"{name}/", 16, bold=True)]
        lines.append(text(MARGIN + LABEL, y + 29, words))
        each = (inner - GAP * (max(len(rooms), 4) - 1)) / max(len(rooms), 4)
        for number, (room, about) in enumerate(rooms):
            x = MARGIN + LABEL + number * (each + GAP)
            lines += [box(x, y + FLOOR, each, ROOM, "#ffffff"), text(x + 8, y + FLOOR + 20, room, 14, bold=True)]
            lines += [text(x + 8, y + FLOOR + 37 + 16 * n, one, 12, colour="#555") for n, one in enumerate(about)]
        y += high + GAP
    lines.append(
        text(MARGIN, y + 16, "A package imports only from packages below it. dsa_reid, the ground, imports none.", 14)
    )
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    OUT.write_text(draw(), encoding="utf-8")
    print(OUT)
