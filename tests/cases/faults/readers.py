"""Every reader of a file from outside, with whole files to begin with, and how such files are damaged by structure."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import io
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from . import mutate
from .mutate import Mutator

MIB = 1 << 20
APART = ("CUHK03 list", "symmetry table", "FAISS with a forged note", "features in a .mat")
"""Readers that read each file in a process of its own."""
SLOW = (*APART, "CUHK03 images", "checkpoint.pt", "checkpoint.pt of another run", "weights from model.pt", "model.pt2")
"""Readers for which a file takes a tenth of a second and more."""


@dataclasses.dataclass(frozen=True)
class Reader:
    """A reader of one file.

    Attributes:
        seeds: whole files of this kind, by their names below the folder of a try.
        read: reads the file that is damaged; everything that it finds around it is in place, see `beside`.
        mutators: damage by structure; general damage is added.
        beside: a folder whose content is copied around the file.
        memory: bytes that reading may take beyond 64 MiB + 64 times the file's size.
    """

    name: str
    seeds: Mapping[str, bytes]
    read: Callable[[Path], Any]
    mutators: tuple[Mutator, ...] = ()
    beside: Path | None = None
    memory: int = 0

    @property
    def all_mutators(self) -> tuple[Mutator, ...]:
        """Every way to damage a file, those by structure most often."""
        general = (mutate.damage, mutate.start)
        return (*self.mutators * 2, *general, *general, mutate.nothing) if self.mutators else (*general, mutate.nothing)


def find(place: str) -> Any:
    """Return "package.module:name.name"."""
    module, _, names = place.partition(":")
    found = importlib.import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    return found


def own_errors() -> tuple[type[BaseException], ...]:
    """Return the families of errors that readers may raise."""
    import click

    return find("dsa_app.errors:DsaError"), find("dsa_reid.errors:ModelError"), click.UsageError


def read_store(kind: str) -> Callable[[Path], None]:
    """Return a reader of all that a store holds."""

    def read(path: Path) -> None:
        store = find(kind)(path)
        try:
            for index in range(min(len(store), 50)):
                store[index : index + 1] if "Feature" in kind else store.read(index)
                if getattr(store, "has_charts", False):
                    store.read_charts(index)
                if getattr(store, "has_confidence", False):
                    store.read_confidence(index)
                    store.read_chart_confidence(index)
        finally:
            if hasattr(store, "close"):
                store.close()

    return read


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work in a folder while the context lasts."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def readers(project: Path) -> list[Reader]:
    """Return all readers, with seeds from a project that `stages.Project` has made.

    Args:
        project: its template.
    """
    artifacts, synthetic = project / "artifacts" / "synthetic", project / "datasets" / "synthetic"
    picture = np.kron(
        np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8)
    )
    return [
        *_images(picture),
        *_tables(project, artifacts, synthetic),
        *_matlab(project),
        *_stores(artifacts, project),
        *_settings(project),
        *_weights(artifacts),
        *_deployed(artifacts, project),
        *_results(project, artifacts, synthetic),
        *_imports(),
        *_keypoints(),
        *_of_other_programs(project),
    ]


def _encoded(suffix: str, picture: np.ndarray, *options: int) -> bytes:
    return bytes(cv2.imencode(suffix, picture, list(options))[1])


def _images(picture: np.ndarray) -> list[Reader]:
    def decode(path: Path) -> None:
        find("dsa_data.images:decode")(path.read_bytes(), path)

    def crop(path: Path) -> None:
        find("dsa_reid.crops:as_rgb")(path)

    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    kinds: dict[str, tuple[dict[str, bytes], tuple[Mutator, ...]]] = {
        "JPEG": (
            {
                "a.jpg": _encoded(".jpg", picture),
                "progressive.jpg": _encoded(".jpg", picture, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
                "grey.jpg": _encoded(".jpg", grey),
            },
            (mutate.jpeg_segment,),
        ),
        "PNG": ({"a.png": _encoded(".png", picture), "grey.png": _encoded(".png", grey)}, (mutate.png_chunk,)),
        "WebP": ({"a.webp": _encoded(".webp", picture), "lossless.webp": _encoded(".webp", picture, 64, 101)}, ()),
        "BMP": ({"a.bmp": _encoded(".bmp", picture)}, ()),
        "TIFF": ({"a.tif": _encoded(".tif", picture, cv2.IMWRITE_TIFF_COMPRESSION, 1)}, ()),
    }
    pixels = 9 * 64_000_000  # three copies of the largest image that is decoded
    return [
        Reader(f"{name} by {who}", seeds, read, mutators, memory=pixels)
        for name, (seeds, mutators) in kinds.items()
        for who, read in (("dsa_data", decode), ("dsa_reid", crop))
    ]


def _tables(project: Path, artifacts: Path, synthetic: Path) -> list[Reader]:
    own = b"path,pid,camid,split\na/1.jpg,1,1,train\na/2.jpg,2,1,query\na/3.jpg,2,2,gallery\nb.jpg,0,3,gallery\n"
    lists = {
        "list_train.txt": "0000/0000_000_01_x.jpg 0\n0001/0001_000_02_x.jpg 1\n",
        "list_val.txt": "0000/0000_003_01_x.jpg 0\n",
        "list_query.txt": "0000/0000_000_03_x.jpg 0\n",
        "list_gallery.txt": "0000/0000_001_04_x.jpg 0\n",
    }
    listed = (synthetic / "scenes.csv").read_text().splitlines()[1].split(",")[0]
    msmt = project / "fuzz" / "msmt17"
    for folder in ("train", "test"):
        (msmt / folder).mkdir(parents=True, exist_ok=True)
    for name, content in lists.items():
        (msmt / name).write_text(content)
    return [
        Reader(
            "manifest.csv",
            {"manifest.csv": (artifacts / "manifest.csv").read_bytes()},
            lambda path: find("dsa_data.records:read_manifest")(path),
            (mutate.csv_cell,),
        ),
        Reader(
            "dataset.csv",
            {"dataset.csv": own},
            lambda path: find("dsa_data.sets.table:scan")(path.parent),
            (mutate.csv_cell,),
        ),
        Reader(
            "MSMT17 lists",
            {name: content.encode() for name, content in lists.items()},
            lambda path: find("dsa_data.sets.msmt17:scan")(path.parent, True),
            (mutate.text,),
            beside=msmt,
        ),
        Reader(
            "scenes.csv",
            {"scenes.csv": (synthetic / "scenes.csv").read_bytes()},
            lambda path: find("dsa_data.synthetic.dataset:read_views")(path.parent, [listed]),
            (mutate.csv_cell,),
        ),
        Reader(
            "synth.json",
            {"synth.json": (synthetic / "synth.json").read_bytes()},
            lambda path: find("dsa_data.synthetic.dataset:read_settings")(path.parent),
            (mutate.json_value,),
        ),
    ]


def _matlab(project: Path) -> list[Reader]:
    cuhk03 = project / "datasets" / "cuhk03"
    lists = "cuhk03_new_protocol_config_labeled.mat"
    found = [
        Reader(
            "CUHK03 list",
            {lists: (cuhk03 / lists).read_bytes()},
            lambda path: find("dsa_data.sets.cuhk03:read_new_protocol")(path),
            (mutate.mat5_tag,),
        ),
        Reader(
            "CUHK03 images",
            {"cuhk-03.mat": (cuhk03 / "cuhk-03.mat").read_bytes()},
            lambda path: find("dsa_data.sets.cuhk03_unpack:unpack")(path.parent, "labeled"),
            (mutate.hdf5_object,),
        ),
        Reader(
            "CUHK03 note",
            {
                "images_labeled/unpacked.json": json.dumps(
                    {"names": ["1_001_1_01.png"], "testsets": [[[1, 1]]]}
                ).encode()
            },
            lambda path: find("dsa_data.sets.cuhk03:scan_classic")(path.parents[1], "labeled"),
            (mutate.json_value,),
        ),
    ]
    from scipy.io import savemat

    made = io.BytesIO()
    cells = np.empty((1, 24), object)
    for n in range(24):
        cells[0, n] = np.tile(np.linspace(0, 1, 256), (256, 1))
    savemat(made, {"U_transforms": cells, "V_transforms": cells}, do_compression=True)
    return [
        *found,
        Reader(
            "symmetry table",
            {"UV_symmetry_transforms.mat": made.getvalue()},
            lambda path: find("dsap.mirror:read_symmetry")(path),
            (mutate.mat5_tag,),
            memory=200 * MIB,
        ),
    ]


def _stores(artifacts: Path, project: Path) -> list[Reader]:
    features = artifacts / "features.h5"
    arrays = {}
    for suffix in (".npy", ".csv", ".json"):
        arrays[f"features{suffix}"] = (project / f"features{suffix}").read_bytes()
    beside = project / "fuzz" / "features"
    beside.mkdir(parents=True, exist_ok=True)
    for name, content in arrays.items():
        (beside / name).write_bytes(content)
    piece = io.BytesIO()
    np.savez(piece, texels=np.zeros(8, np.uint8), texel_bytes=np.array([4, 4]), reason=np.array(["", "x"]))

    def read_arrays(path: Path) -> None:
        opened = find("dsa_train.gallery.feature_files:open_features")(path.with_name("features.npy"))
        opened[0:2]
        _ = opened.identity

    def pieces(path: Path) -> Any:
        return find("dsa_data.stores.pieces:Pieces")(path.parents[1] / "out", {"size": 8})

    def resume(path: Path) -> None:
        with pieces(path):
            pass

    structured = (mutate.hdf5_object,)
    return [
        Reader(
            "iuv.h5",
            {"iuv.h5": _read(artifacts / "iuv.h5"), **_of_version_3(artifacts / "iuv.h5", project / "fuzz" / "iuv")},
            read_store("dsa_data.stores.iuv:IuvStore"),
            structured,
        ),
        Reader(
            "dsap.h5",
            {
                "dsap.h5": _read(artifacts / "dsap.h5"),
                "confidence.h5": _with_confidence(artifacts / "dsap.h5", project / "fuzz" / "dsap"),
            },
            read_store("dsa_data.stores.dsap:DsapStore"),
            structured,
        ),
        Reader(
            "features.h5",
            {"features.h5": _read(features)},
            read_store("dsa_data.stores.features:FeatureStore"),
            structured,
        ),
        Reader(
            "features.npy",
            {"features.npy": arrays["features.npy"]},
            read_arrays,
            (mutate.npy_header,),
            beside=beside,
        ),
        Reader(
            "features.csv", {"features.csv": arrays["features.csv"]}, read_arrays, (mutate.csv_cell,), beside=beside
        ),
        Reader(
            "features.json",
            {"features.json": arrays["features.json"]},
            read_arrays,
            (mutate.json_value,),
            beside=beside,
        ),
        Reader(
            "piece",
            {"out.pieces/0.npz": piece.getvalue()},
            lambda path: pieces(path).read("0"),
            (mutate.zipped(mutate.npy_header),),
        ),
        Reader(
            "configuration of pieces",
            {"out.pieces/configuration.json": b'{"size": 8}'},
            resume,
            (mutate.json_value,),
        ),
    ]


def _of_version_3(iuv: Path, folder: Path) -> dict[str, bytes]:
    """Return the maps of a store with confidences at each pixel, with one an image, and of I alone."""
    write, replace = find("dsa_data.stores.iuv:write_iuv"), dataclasses.replace
    with find("dsa_data.stores.iuv:IuvStore")(iuv) as store:
        keys, shapes, header = store.keys, store.shapes, store.header
        maps = [store.read(index) for index in range(len(store))]
    sure = [replace(one, confidence=one.iuv[..., 1] // 2 + 9, image_confidence=0.5) for one in maps]
    alone = [replace(one, iuv=one.iuv * np.array([1, 0, 0], np.uint8)) for one in maps]
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "pixels.h5": write(folder / "pixels.h5", header, keys, shapes, sure, 8, "pixels"),
        "images.h5": write(folder / "images.h5", header, keys, shapes, sure, 8, "images"),
        "alone.h5": write(folder / "alone.h5", header, keys, shapes, alone, 0),
    }
    return {name: _read(path) for name, path in made.items()}


def _with_confidence(dsap: Path, folder: Path) -> bytes:
    """Return the part images of a store with the confidences of texels and of chart images."""
    pack = find("dsa_data.stores.dsap:pack")
    with find("dsa_data.stores.dsap:DsapStore")(dsap) as store:
        keys, header, size, chunks = store.keys, store.header, store.size, []
        for index in range(len(store)):
            (texels, valid), charts = store.read(index), store.read_charts(index)
            sure = (texels[..., 0] // 2 + 9 * valid).astype(np.uint8), charts // 2
            chunks.append(pack(texels, valid, charts, store.digests[index], store.maps[index], *sure))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "confidence.h5"
    return _read(find("dsa_data.stores.dsap:write_dsap")(path, header, size, keys, chunks, confidence=True))


def _settings(project: Path) -> list[Reader]:
    params = (project / "params.yaml").read_bytes()
    experiment = (
        b"train:\n  height: 64\n  losses: {smoothing: 0}\n  network:\n    guide: false\n    main: {heads: global}\n"
    )

    def build(settings: Any) -> None:
        for section, place in (
            ("synth", "dsa_data.synthetic.config:SynthConfig"),
            ("extract", "densepose_extract.config:ExtractConfig"),
            ("warp", "dsap.config:WarpConfig"),
            ("train", "dsa_train.config:TrainConfig"),
            ("evaluate", "dsa_train.evaluation.config:EvaluateConfig"),
        ):
            settings.section(section, find(place))

    def from_params(path: Path) -> None:
        build(find("dsa_app.config:read_settings")(path, "market1501"))

    def from_experiment(path: Path) -> None:
        with working_in(path.parents[1]):
            build(find("dsa_app.config:read_settings")(None, "market1501", path.stem))

    def from_assignment(path: Path) -> None:
        words = path.read_bytes().decode("utf-8", "replace")
        build(find("dsa_app.config:read_settings")(None, "market1501", None, [words]))

    return [
        Reader("params.yaml", {"params.yaml": params}, from_params, (mutate.yaml_text, mutate.text)),
        Reader("experiment", {"experiments/own.yaml": experiment}, from_experiment, (mutate.yaml_text, mutate.text)),
        Reader(
            "--set",
            {
                f"{n}.txt": line
                for n, line in enumerate((b"synth.seed=3", b"train.epochs=2", b"train.network.main.size=[1, 2]"))
            },
            from_assignment,
            (_assignment, mutate.text),
        ),
    ]


def _assignment(data: bytes, rng: Any) -> bytes:
    name, _, value = data.partition(b"=")
    return name + b"=" + mutate.yaml_text(b"x: " + value, rng).partition(b":")[2].strip(b" \n")


def _weights(artifacts: Path) -> list[Reader]:
    run = artifacts / "runs" / "demo"
    arrays = {"model": {"a.weight": np.ones((2, 3), np.float32), "a.bias": np.zeros(2)}, "__author__": "x"}

    def restore(path: Path) -> None:
        find("dsa_train.checkpoint:load")(path)

    def pretrained(path: Path) -> None:
        import torch

        with torch.device("meta"):
            main = find("dsa_reid.main_stream:MainStream")(
                find("dsa_reid.main_stream:MainStreamConfig")(trunk="resnet18", width=0.125)
            )
        find("dsa_train.network.weights:load_trunk")(main, str(path))

    def other_run(path: Path) -> None:
        network = find("dsa_train.network.two_stream:TwoStream")
        settings = find("dsa_app.config:build")(find("dsa_train.config:TrainConfig"), _demo()["train"], "test").network
        find("dsa_train.pretrained:load_run")(network(settings, 3), path.parent)

    zipped = (mutate.zipped(mutate.pickle_opcode),)
    return [
        Reader("checkpoint.pt", {"checkpoint.pt": _read(run / "checkpoint.pt")}, restore, zipped),
        Reader("checkpoint.pt of another run", {"checkpoint.pt": _read(run / "checkpoint.pt")}, other_run, zipped),
        Reader("weights from model.pt", {"model.pt": _read(run / "model.pt")}, pretrained, zipped),
        Reader(
            "DensePose checkpoint",
            {"two.pkl": pickle.dumps(arrays, 2), "four.pkl": pickle.dumps(arrays, 4)},
            lambda path: find("densepose_extract.weights.checkpoint:load")(path),
            (mutate.pickle_opcode,),
        ),
    ]


def _demo() -> dict[str, Any]:
    from .stages import PARAMS

    return PARAMS


def _deployed(artifacts: Path, project: Path) -> list[Reader]:
    model = artifacts / "runs" / "demo" / "model.pt"

    def load(path: Path) -> None:
        find("dsa_reid.model:load")(path)

    def load_exported(path: Path) -> None:
        find("dsa_reid.exports:load_exported")(path)

    def index(path: Path) -> None:
        features = find("dsa_train.gallery.feature_files:open_features")(path.with_name("features.h5"))
        query = features[0:1]
        find("dsa_train.gallery.search:rank")(query, features, 2, "flat", path.with_name("features.h5.flat.faiss"))

    found = [Reader("model.pt", {"model.pt": _read(model)}, load, (mutate.zipped(mutate.pickle_opcode),))]
    if (project / "model.pt2").exists():
        seeds = {"model.pt2": _read(project / "model.pt2")}
        both = (mutate.zipped(mutate.json_value), mutate.zipped(mutate.pickle_opcode))
        found.append(Reader("model.pt2", seeds, load_exported, both, memory=300 * MIB))
    if (project / "model.onnx").exists():
        seeds = {"model.onnx": _read(project / "model.onnx")}
        found.append(Reader("model.onnx", seeds, load_exported, (mutate.damage,), memory=300 * MIB))
    if (artifacts / "features.h5.flat.faiss").exists():
        beside = project / "fuzz" / "index"
        beside.mkdir(parents=True, exist_ok=True)
        for name in ("features.h5", "features.h5.flat.faiss", "features.h5.flat.faiss.json"):
            shutil.copy(artifacts / name, beside)
        for name, structured in (("features.h5.flat.faiss", ()), ("features.h5.flat.faiss.json", (mutate.json_value,))):
            found.append(Reader(f"FAISS {name[15:]}", {name: _read(beside / name)}, index, structured, beside=beside))
        found.append(_forged(project / "fuzz" / "forged", artifacts / "features.h5"))
    return found


def _forged(beside: Path, features: Path) -> Reader:
    """Return the reader of indexes of every kind whose note has the digest of the damaged file."""
    beside.mkdir(parents=True, exist_ok=True)
    shutil.copy(features, beside)
    features = beside / features.name

    def rank(path: Path, kind: str) -> None:
        opened = find("dsa_train.gallery.feature_files:open_features")(path.with_name(features.name))
        indices = find("dsa_train.gallery.search:rank")(opened[0:1], opened, 2, kind, path).indices
        assert indices.min() >= -1
        assert indices.max() < len(opened)

    def forge(path: Path) -> None:
        note = path.with_name(path.name + ".json")
        written = json.loads(note.read_text()) | {"index": hashlib.sha256(path.read_bytes()).hexdigest()}
        note.write_text(json.dumps(written))
        rank(path, path.name.split(".")[-2])

    names = {kind: f"{features.name}.{kind}.faiss" for kind in ("flat", "ivf", "hnsw")}
    for kind, name in names.items():
        rank(beside / name, kind)
    return Reader(
        "FAISS with a forged note", {name: _read(beside / name) for name in names.values()}, forge, beside=beside
    )


def _results(project: Path, artifacts: Path, synthetic: Path) -> list[Reader]:
    found = []
    metrics = artifacts / "metrics.json"
    if metrics.exists():
        found.append(
            Reader(
                "metrics.json",
                {"metrics.json": _read(metrics)},
                lambda path: find("dsa_train.report:read")(path),
                (mutate.json_value,),
            )
        )
        result = next(iter(sorted((artifacts / "results").rglob("*.json"))), metrics)
        found.append(
            Reader(
                "result of a row",
                {"results/table3/dsa-reid/main.json": _read(result)},
                lambda path: find("dsa_train.ablation.rows:table")(path.parents[3], "market1501"),
                (mutate.json_value,),
            )
        )
    if (artifacts / "tables-some.json").exists():

        def tables(path: Path) -> None:
            rows = find("dsa_train.ablation.tables:read_rows")(path)
            find("dsa_train.ablation.tables:table")(rows)

        found.append(
            Reader("tables.json", {"tables.json": _read(artifacts / "tables-some.json")}, tables, (mutate.json_value,))
        )
    iuv = sorted((synthetic / "iuv").rglob("*_IUV.png"))[0]

    def imported(path: Path) -> None:
        find("densepose_extract.engines.imported:inspect_map")(path)

    found.append(Reader("IUV image", {"a_IUV.png": _read(iuv)}, imported, (mutate.png_chunk,), memory=9 * 64_000_000))
    return found


def _imports() -> list[Reader]:
    """Return the readers of maps in the forms of others."""
    from densepose_dump import dump_of_one

    mask = (np.arange(600) % 7).reshape(30, 20).astype(np.uint8)
    array = io.BytesIO()
    np.save(array, mask.astype(np.int64))
    mapping = {label: label for label in range(7)}

    def record() -> Any:
        return find("dsa_data.records:Record")("a.jpg", "train", 1, 1, 20, 30, "00" * 32)

    def dump(path: Path) -> None:
        for bits in (8, 16):
            engine = find("densepose_extract.engines.dumped:Dumped")([path], [record()], True, bits)
            engine.find(record()).read(record())

    def parts(path: Path) -> None:
        find("densepose_extract.engines.part_masks:decode_parts")(path.read_bytes(), path, mapping)

    forms = {f"{form}.pkl": dump_of_one(form, (1.5, 2.5, 12.0, 25.0)) for form in ("torch.save", "2", "4")}
    table = b"key,score,confidence\na.jpg,0.5,0.25\nb.jpg,1,\n"
    limit = 9 * 64_000_000
    return [
        Reader(
            "dump of apply_net.py",
            {name: data for name, data in forms.items() if name == "torch.save.pkl"},
            dump,
            (mutate.zipped(mutate.pickle_opcode),),
        ),
        Reader(
            "pickled dump of apply_net.py",
            {name: data for name, data in forms.items() if name != "torch.save.pkl"},
            dump,
            (mutate.pickle_opcode,),
        ),
        Reader("part mask", {"a.png": _encoded(".png", mask)}, parts, (mutate.png_chunk,), memory=limit),
        Reader("part mask, array", {"a.npy": array.getvalue()}, parts, (mutate.npy_header,), memory=limit),
        Reader(
            "scores.csv",
            {"scores.csv": table},
            lambda path: find("densepose_extract.engines.score_file:read_scores")(path, ["a.jpg", "b.jpg"]),
            (mutate.csv_cell,),
        ),
        Reader(
            "mapping of labels",
            {"own.yaml": b"mapping: {0: 0, 1: 23, 15: 3}\n"},
            lambda path: find("densepose_extract.engines.part_masks:read_mapping")(str(path)),
            (mutate.yaml_text, mutate.text),
        ),
    ]


def _keypoints() -> list[Reader]:
    """Return the readers of keypoints in the forms of others."""
    points = np.column_stack([np.linspace(4, 16, 17), np.linspace(2, 28, 17), np.full(17, 0.9)])
    flat, shares = points.ravel().tolist(), (points / (20, 30, 1)).tolist()
    flagged = np.column_stack([points[:, :2], np.full(17, 2)]).ravel().tolist()
    annotations = {
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 7, "keypoints": flagged, "num_keypoints": 17}],
    }
    inferred = [{"keypoints": points[:, :2].tolist(), "keypoint_scores": points[:, 2].tolist(), "bbox_score": 0.8}]
    columns = {"x": points[:, 0].tolist(), "y": points[:, 1].tolist(), "visible": points[:, 2].tolist()}
    line = " ".join(str(value) for value in (0, 0.5, 0.5, 1, 1, *np.ravel(shares), 0.7))
    forms = {
        "results.json": [{"image_id": "a.jpg", "keypoints": flat, "score": 0.8}],
        "annotations.json": annotations,
        "metadata.json": {"images": {"a.jpg": {"keypoints": shares}}},
    }
    of_one_image = {"mmpose/a.json": inferred, "yolo/a.json": [{"keypoints": columns, "confidence": 0.7}]}

    def read(path: Path) -> None:
        record = find("dsa_data.records:Record")("a.jpg", "train", 1, 1, 20, 30, "00" * 32)
        engine = find("densepose_extract.engines.keypoints:Keypoints")(path, [record], allow_missing=True)
        engine.find(record).read(record)

    def folder(path: Path) -> None:
        read(path.parent)

    def encoded(contents: Mapping[str, Any]) -> dict[str, bytes]:
        return {name: json.dumps(content).encode() for name, content in contents.items()}

    return [
        Reader("keypoints of many images", encoded(forms), read, (mutate.json_value,)),
        Reader("keypoints of an image", encoded(of_one_image), folder, (mutate.json_value,)),
        Reader("keypoints of YOLO", {"yolo/a.txt": line.encode()}, folder, (mutate.text,)),
    ]


def _of_other_programs(project: Path) -> list[Reader]:
    """Return the readers of features and distances that other programs wrote, and of the table of their images."""
    import torch
    from scipy.io import savemat

    random = np.random.default_rng(0)
    pids, camids = np.arange(4), np.array([0, 1, 0, 1])
    saved = {
        **{name: random.standard_normal((4, 3)).astype(np.float32) for name in ("qf", "gf")},
        **{"q_pids": pids, "g_pids": pids, "q_camids": camids, "g_camids": 1 - camids},
    }
    archive, matlab, pickled, array = (io.BytesIO() for _ in range(4))
    np.savez(archive, **saved)  # type: ignore[arg-type]  # the stubs take the arrays for the option
    layumis = {"qf": "query_f", "gf": "gallery_f", "q_pids": "query_label", "g_pids": "gallery_label"}
    layumis |= {"q_camids": "query_cam", "g_camids": "gallery_cam"}
    savemat(matlab, {layumis[name]: value for name, value in saved.items()})
    torch.save({name: torch.from_numpy(value) for name, value in saved.items()}, pickled)
    np.save(array, random.standard_normal((8, 3)).astype(np.float32))
    rows = [
        f"{split}/{n}.jpg,{n},{n % 2 + (split == 'query')},{split}" for split in ("query", "gallery") for n in range(4)
    ]
    table = "\n".join(["path,pid,camid,split", *rows, ""]).encode()
    labels = project / "fuzz" / "labels"
    labels.mkdir(parents=True, exist_ok=True)
    (labels / "labels.csv").write_bytes(table)
    features = project / "fuzz" / "foreign"
    features.mkdir(parents=True, exist_ok=True)
    (features / "features.npy").write_bytes(array.getvalue())

    def read(path: Path) -> None:
        found = find("dsa_train.evaluation.foreign:read_features")(path)
        found.q_features[0:4], found.g_features[0:4]

    def with_table(path: Path) -> None:
        found = find("dsa_train.evaluation.foreign:read_features")(
            path.with_name("features.npy"), path.with_name("labels.csv")
        )
        found.q_features[0:4], found.g_features[0:4]

    return [
        Reader("features in an .npz", {"a.npz": archive.getvalue()}, read, (mutate.zipped(mutate.npy_header),)),
        Reader("features in a .mat", {"a.mat": matlab.getvalue()}, read, (mutate.mat5_tag,)),
        Reader("features in a .pt", {"a.pt": pickled.getvalue()}, read, (mutate.zipped(mutate.pickle_opcode),)),
        Reader("features in an .npy", {"features.npy": array.getvalue()}, with_table, (mutate.npy_header,), labels),
        Reader("table of features", {"labels.csv": table}, with_table, (mutate.csv_cell,), features),
    ]


def _read(path: Path) -> bytes:
    return path.read_bytes()
