"""Dumps of `apply_net.py dump`: every form that detectron2 wrote, the crop's own person, and none that runs code."""

import contextlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from densepose_dump import CONFIDENCES, densepose, person, png_of, quantised, save
from densepose_extract.engines.dump_file import open_dump
from densepose_extract.engines.dumped import Dumped, dumps_in
from densepose_extract.engines.engine import Extracted
from dsa_app.errors import ImageError
from dsa_data.records import Record
from dsa_data.stores.iuv import refine, widen

FORMS = ["torch.save", "2", "3", "5"]
H, W = 20, 12
OWN, OTHER = (1.7, 2.2, 10.9, 18.4), (8.0, 0.0, 11.5, 6.0)  # of the crop's person, and of one at its edge


def record(key: str = "train/a.jpg", digest: str = "00" * 32) -> Record:
    return Record(key, "train", 1, 1, W, H, digest)


def entry(people: list[Any], boxes: list[Any] = [OTHER, OWN], name: str = "/x/train/a.jpg", **more: Any) -> dict:  # noqa: B006
    return {
        "file_name": name,
        "scores": torch.tensor([0.99, 0.75][: len(boxes)]),
        "pred_boxes_XYXY": torch.tensor(boxes).reshape(-1, 4),
        "pred_densepose": people,
        **more,
    }


def written(path: Path, container: str, form: str) -> Path:
    """Write a dump of one image with two people, in a class of DensePose's."""
    with densepose() as classes:
        people: Any = []
        for seed, box in enumerate((OTHER, OWN)):
            labels, uv = person(box, seed)
            values = quantised(labels, uv)
            if container in ("DensePoseResult", "OldDensePoseResult"):
                people.append((tuple(values.shape), png_of(values.numpy())))
                continue
            fields = {
                "DensePoseChartResult": (labels, uv),
                "DensePoseChartResultWithConfidences": (labels, uv, *[torch.rand(labels.shape)] * len(CONFIDENCES)),
                "DensePoseChartResultQuantized": (values,),
                "DensePoseChartResultCompressed": (tuple(values.shape), png_of(values.numpy())),
            }
            people.append(getattr(classes, container)(*fields[container]))
        if container.endswith("DensePoseResult"):
            people = getattr(classes, container)(people, [[0.0] * 4] * 2)
        return save(path, [entry(people)], form)


def expected(bytes_only: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the map of the crop's own person, by hand: its box begins at column 1 and row 2."""
    labels, uv = person(OWN, 1)
    assert labels.shape == (16, 9)
    iuv, fine = np.zeros((H, W, 3), np.uint8), np.zeros((H, W, 2), np.uint16)
    inside = iuv[2:18, 1:10]
    inside[..., 0] = labels
    u, v = uv.numpy()
    inside[..., 1], inside[..., 2] = (np.floor(255 * x) if bytes_only else np.rint(255 * x) for x in (u, v))
    inside[inside[..., 0] == 0] = 0
    fine[2:18, 1:10] = refine(labels.numpy(), u, v)
    return iuv, widen(iuv) if bytes_only else fine


def read(engine: Dumped, one: Record | None = None) -> Extracted:
    return engine.find(one or record()).read(one or record())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "container",
    [
        "DensePoseChartResult",
        "DensePoseChartResultWithConfidences",
        "DensePoseChartResultQuantized",
        "DensePoseChartResultCompressed",
        "DensePoseResult",
        "OldDensePoseResult",
    ],
)
def test_every_form_has_the_crops_own_person(tmp_path: Path, container: str, form: str) -> None:
    path = written(tmp_path / "results.pkl", container, form)
    iuv, fine = expected(bytes_only="WithConfidences" not in container and container != "DensePoseChartResult")
    for bits in (8, 16):
        found = read(Dumped([path], [record()], bits=bits))
        assert np.array_equal(found.iuv, iuv)
        assert (found.status, found.score) == ("found", 0.75)
        assert np.array_equal(found.box, np.float32(OWN))
        assert found.fine is None if bits == 8 else np.array_equal(found.fine, fine)


def test_a_tensor_of_a_gpu_is_read_without_one(tmp_path: Path) -> None:
    """apply_net.py leaves labels and uv where the network was: the archive names the device of each storage."""
    path = written(tmp_path / "results.pkl", "DensePoseChartResult", "torch.save")
    data = path.read_bytes()
    assert data.count(b"X\x03\x00\x00\x00cpu") >= 1
    with densepose() as classes:
        labels, uv = person(OWN, 1)
        content = [entry([classes.DensePoseChartResult(labels, uv)], [OWN])]
        original = torch.serialization.location_tag
        torch.serialization.location_tag = lambda storage: "cuda:0"  # type: ignore[assignment]
        try:
            save(path, content, "torch.save")
        finally:
            torch.serialization.location_tag = original
    assert b"cuda:0" in path.read_bytes()
    assert np.array_equal(read(Dumped([path], [record()])).iuv, expected(False)[0])


def test_a_person_partly_outside_is_cut_and_one_far_outside_refused(tmp_path: Path) -> None:
    with densepose() as classes:
        box = (-0.6, -0.4, 12.9, 20.8)
        labels, uv = person(box)
        assert labels.shape == (21, 13)
        save(tmp_path / "a.pkl", [entry([classes.DensePoseChartResult(labels, uv)], [box])], "torch.save")
        box = (0.0, 0.0, 64.0, 128.0)
        labels_far, uv_far = person(box)
        save(tmp_path / "b.pkl", [entry([classes.DensePoseChartResult(labels_far, uv_far)], [box])], "torch.save")
    assert np.array_equal(read(Dumped([tmp_path / "a.pkl"], [record()])).iuv[..., 0], labels[:H, :W].numpy())
    with pytest.raises(ImageError, match=r"b\.pkl.*box that ends at 64x128.*train/a\.jpg is 12x20"):
        Dumped([tmp_path / "b.pkl"], [record()])


def test_images_are_found_by_their_path_or_their_unique_name(tmp_path: Path) -> None:
    with densepose() as classes:
        labels, uv = person(OWN, 1)
        people = [classes.DensePoseChartResult(labels, uv)]
        names = ["/x/train/a.jpg", "C:\\y\\query\\a.jpg", "./b.jpg", "other.jpg"]
        content = [entry(people, [OWN], name) for name in names]
        content[2] = {"file_name": "./b.jpg", "scores": torch.zeros(0), "pred_boxes_XYXY": torch.zeros(0, 4)}
        save(tmp_path / "r.pkl", content, "torch.save")
        save(tmp_path / "twice.pkl", [entry(people, [OWN]), entry(people, [OWN], "train/a.jpg")], "torch.save")
        save(tmp_path / "short.pkl", [entry(people, [OWN], "a.jpg")], "torch.save")
    records = [record("train/a.jpg"), record("query/a.jpg"), record("gallery/b.jpg")]
    engine = Dumped([tmp_path / "r.pkl"], records)
    assert engine.unused == ["other.jpg"]
    assert [read(engine, one).status for one in records] == ["found", "found", "none"]
    expected = r"no map for 1 of 4 images, first gallery/c\.jpg: expected a file_name that ends with gallery/c\.jpg; "
    with pytest.raises(ImageError, match=expected):
        Dumped([tmp_path / "r.pkl"], [*records, record("gallery/c.jpg")])
    allowed = Dumped([tmp_path / "r.pkl"], [*records, record("gallery/c.jpg")], allow_missing=True)
    assert allowed.missing == 1
    with pytest.raises(ImageError, match=r"/x/train/a\.jpg both are|train/a\.jpg and .* both are train/a\.jpg"):
        Dumped([tmp_path / "twice.pkl"], [record()])
    with pytest.raises(ImageError, match=r"a\.jpg fits both train/a\.jpg and query/a\.jpg"):
        Dumped([tmp_path / "short.pkl"], records[:2])


def test_a_folder_of_dumps(tmp_path: Path) -> None:
    written(tmp_path / "train.pkl", "DensePoseChartResult", "torch.save")
    with densepose() as classes:
        content = [entry([classes.DensePoseChartResult(*person(OWN, 1))], [OWN], "query/q.jpg")]
        save(tmp_path / "query.pkl", content, "5")
    dumps = dumps_in(tmp_path)
    assert [path.name for path in dumps] == ["query.pkl", "train.pkl"]
    engine = Dumped(dumps, [record(), record("query/q.jpg")])
    assert read(engine).status == read(engine, record("query/q.jpg")).status == "found"
    assert engine.identity == {"engine": "import"}


def test_the_digest_is_of_what_decides_the_map(tmp_path: Path) -> None:
    """Not of the form: another person in the image changes nothing, another score does."""
    digests = []
    for form, score in (("torch.save", 0.75), ("5", 0.75), ("5", 0.5)):
        with densepose() as classes:
            people = [classes.DensePoseChartResult(*person(OWN, 1))]
            content = [entry(people, [OWN], scores=torch.tensor([score]))]
            engine = Dumped([save(tmp_path / "r.pkl", content, form)], [record()])
        digests.append(engine.find(record()).digest)
    assert digests[0] == digests[1] != digests[2]


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["HARM"],)


@pytest.mark.parametrize("form", ["torch.save", "5"])
def test_code_is_refused_and_not_run(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    harm = tmp_path / "harm"
    monkeypatch.setenv("HARM", str(harm))
    path = save(tmp_path / "r.pkl", [entry([Harmful()], [OWN])], form)
    with pytest.raises(ImageError, match=r"no code in it was run \(it asks for posix\.mkdir"):
        Dumped([path], [record()])
    assert not harm.exists()
    hidden = tmp_path / "hidden.pkl"  # in the bytes of a tensor's own storage
    inner = pickle.dumps(Harmful())
    save(hidden, [entry([], [OWN], scores=Stored(inner))], "5")
    with pytest.raises(ImageError, match="hidden"):
        Dumped([hidden], [record()])
    assert not harm.exists()


class Stored:
    """A tensor whose storage's bytes are anything."""

    def __init__(self, saved: bytes) -> None:
        self.saved = saved

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, (Bytes(self.saved), 0, (1,), (1,), False, {})


class Bytes:
    def __init__(self, saved: bytes) -> None:
        self.saved = saved

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.storage._load_from_bytes, (self.saved,)


WRONG = {
    "no list": {"file_name": "a.jpg"},
    "no name": [{"scores": torch.zeros(1)}],
    "no numbers": [entry(["text"], [OWN])],
    "too few people": [entry([], [OWN])],
    "NaN": [entry([0], [(float("nan"), 0, 1, 1)])],
    "scores": [entry([0], [OWN], scores=torch.zeros(3))],
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
def test_other_content_is_refused_in_one_line(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ImageError) as error:
        Dumped([save(tmp_path / "r.pkl", content, "torch.save")], [record()])
    assert "r.pkl" in str(error.value)
    assert "\n" not in str(error.value)


def test_wrong_results_are_refused(tmp_path: Path) -> None:
    labels, uv = person(OWN, 1)
    cases = {
        "chart 25": (labels + 25, uv),
        "not a number": (labels, uv / 0),
        "10x16 in a box of 9x16": (torch.ones(16, 10, dtype=torch.long), torch.rand(2, 16, 10)),
        "no map": (labels, uv[:1]),
    }
    for reason, given in cases.items():
        with densepose() as classes:
            path = save(tmp_path / "r.pkl", [entry([classes.DensePoseChartResult(*given)], [OWN])], "torch.save")
        with pytest.raises(ImageError, match=r"r\.pkl") as error:
            Dumped([path], [record()])
        assert reason in str(error.value).replace("chart 49", "chart 25"), reason
    with densepose() as classes:
        embeddings = classes.DensePoseEmbeddingPredictorOutput(torch.rand(1, 16, 8, 8), torch.rand(1, 2, 8, 8))
        path = save(tmp_path / "cse.pkl", [entry(embeddings, [OWN])], "torch.save")
    with pytest.raises(ImageError, match=r"continuous surface \(CSE\).*model of charts"):
        Dumped([path], [record()])


@pytest.mark.parametrize("form", ["torch.save", "5"])
def test_damaged_files_are_refused(tmp_path: Path, form: str) -> None:
    path = written(tmp_path / "r.pkl", "DensePoseChartResult", form)
    whole = path.read_bytes()
    for keep in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(ImageError, match=r"r\.pkl"):
            Dumped([path], [record()])
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with contextlib.suppress(ImageError):  # a flipped bit in the numbers of a plain pickle cannot be seen
            Dumped([path], [record()])
    with pytest.raises(ImageError, match=r"none\.pkl.*missing"), open_dump(tmp_path / "none.pkl"):
        pass


def test_detectron2s_own_classes(tmp_path: Path) -> None:
    """The real conversion and the real classes, where they are installed."""
    structures = pytest.importorskip("densepose.structures")
    from densepose.converters import ToChartResultConverterWithConfidences
    from detectron2.structures import Boxes

    torch.manual_seed(0)
    heads = structures.DensePoseChartPredictorOutput(
        torch.randn(1, 2, 28, 28), torch.randn(1, 25, 28, 28), torch.rand(1, 25, 28, 28), torch.rand(1, 25, 28, 28)
    )
    result = ToChartResultConverterWithConfidences.convert(heads, Boxes(torch.tensor([OWN])))
    path = save(tmp_path / "r.pkl", [entry([result], [OWN])], "torch.save")
    found = read(Dumped([path], [record()], bits=16))
    assert np.array_equal(found.iuv[2:18, 1:10, 0], result.labels.numpy())
    assert found.fine is not None
    assert np.array_equal(found.fine[2:18, 1:10], refine(result.labels.numpy(), *result.uv.clamp(0, 1).numpy()))
