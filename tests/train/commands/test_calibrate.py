"""`dsa-train calibrate`: probabilities for a finished model, from people that it has not seen."""

import json
import shutil

import pytest
import torch

import dsa_reid
from dsa_data.records import read_manifest, write_manifest
from dsa_train import calibration_stage, run_settings, stage
from thin import PREPROCESSING, write_model


@pytest.fixture
def artifacts(tiny, tmp_path, monkeypatch):
    """The tiny dataset under two names: market1501, and dukemtmcreid with other bytes in its manifest."""
    monkeypatch.setenv("DSA_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "datasets").mkdir()
    for name in ("market1501", "dukemtmcreid"):
        (tmp_path / "datasets" / name).symlink_to(tiny.root)
        (tmp_path / "artifacts" / name).mkdir(parents=True)
    shutil.copy(tiny.manifest, tmp_path / "artifacts" / "market1501")
    others = [record for record in read_manifest(tiny.manifest) if record.split == "train" or record.pid != 34]
    write_manifest(others, tmp_path / "artifacts" / "dukemtmcreid" / "manifest.csv")
    return tmp_path / "artifacts"


@pytest.fixture
def trained(tiny, small, artifacts):
    """Train on the tiny market1501, with some people held out or with none; return the run's folder."""

    def train(name, share):
        out = artifacts / "market1501" / "runs" / name
        stage.run(artifacts / "market1501" / "manifest.csv", tiny.root, tiny.dsap, out, small(calibrate=share))
        return out

    return train


def test_the_held_out_people_again_give_the_same_bytes(run, trained, tmp_path):
    folder = trained("paper", 0.5)
    before = (folder / "model.pt").read_bytes(), (folder / "settings.json").read_bytes()
    done = run("calibrate", folder, "--dataset", "market1501")
    assert done.exit_code == 0, done.output
    assert "calibrated on 3 people in" in done.stdout
    assert "searched for among 22 images" in done.stdout
    assert ((folder / "model.pt").read_bytes(), (folder / "settings.json").read_bytes()) == before
    # a calibration of before is replaced
    model = dsa_reid.load(folder / "model.pt")
    older = dsa_reid.Calibration(-2.0, 3.0, 0.0, 0.0, people=3, images=12)
    dsa_reid.save(model.main_stream, folder / "model.pt", model.preprocessing, calibration=older)
    shutil.copy(folder / "model.pt", tmp_path / "older.pt")
    write = json.loads(before[1]) | {"model": dsa_reid.digest_of(folder / "model.pt")}
    (folder / "settings.json").write_text(json.dumps(write))
    assert run("calibrate", folder, "--dataset", "market1501").exit_code == 0
    assert dsa_reid.load(folder / "model.pt").calibration == model.calibration
    assert run_settings.read(folder) is not None


def test_people_of_another_dataset(run, trained, artifacts, tmp_path):
    """The weights stay, and what made the run is known as before; the training is still finished."""
    folder = trained("paper", 0.0)
    made, plain = run_settings.read(folder), dsa_reid.load(folder / "model.pt")
    assert plain.calibration is None
    out = tmp_path / "calibrated.pt"
    # the model lies outside its run, and its settings with it
    other = tmp_path / "elsewhere"
    shutil.copytree(folder, other)
    assert run("calibrate", other, "--dataset", "dukemtmcreid", "--out", out).exit_code == 0
    assert (other / "model.pt").read_bytes() == (folder / "model.pt").read_bytes()
    assert dsa_reid.load(out).calibration.people == 6
    done = run("calibrate", other / "model.pt", "--dataset", "dukemtmcreid", "--json")
    assert json.loads(done.stdout)["calibration"]["people"] == 6
    assert (other / "model.pt").read_bytes() == out.read_bytes()
    assert run_settings.read(other) == made
    weights, before = (one.main_stream.state_dict() for one in (dsa_reid.load(out), plain))
    assert all(torch.equal(weights[name], before[name]) for name in before)
    assert 0 < dsa_reid.load(out).probability(0.1) <= 1


def test_the_tests_of_another_dataset_are_used_with_a_note(run, artifacts, trained, tmp_path):
    other = shutil.copytree(trained("paper", 0.0), tmp_path / "elsewhere")
    done = run("calibrate", other, "--dataset", "dukemtmcreid", "--split", "query", "--split", "gallery")
    assert done.exit_code == 0, done.output
    assert (
        "note: query and gallery of dukemtmcreid are used. Measure these probabilities on other people" in done.stderr
    )
    assert "calibrated on 3 people in 12 images" in done.stdout


def test_a_model_of_unknown_training_is_calibrated_with_a_note(run, artifacts, tmp_path):
    model = write_model(tmp_path / "model.pt")
    done = run("calibrate", model, "--dataset", "dukemtmcreid")
    assert done.exit_code == 0, done.output
    assert f"note: it is not known which images {model} was trained on." in done.stderr


REGIONS = {"local_pooling": "regions", "local_head": "pointwise"}


def test_visible_distances_are_calibrated_too_and_the_start_is_kept(run, artifacts, tmp_path):
    plain = dsa_reid.load(write_model(tmp_path / "model.pt", **REGIONS))
    begun = {"source": "somewhere", "colours": [[0.5, 0.5, 0.5], [0.2, 0.2, 0.2]]}
    path = dsa_reid.save(plain.main_stream, tmp_path / "model.pt", PREPROCESSING, begun)
    done = run("calibrate", path, "--dataset", "dukemtmcreid", "--json")
    assert set(json.loads(done.stdout)) == {"model", "calibration", "visible_calibration"}
    assert dsa_reid.load(path).visible_calibration.people == 6
    assert torch.load(path, weights_only=True)["pretrained"] == begun


@pytest.mark.parametrize(
    ("share", "more", "message"),
    [
        (0.0, [], "was trained on these people of market1501"),
        (0.0, ["--split", "gallery"], "must not be calibrated on them"),
        (0.5, ["--split", "query", "--split", "gallery"], "must not be calibrated on them"),
    ],
)
def test_people_that_it_has_seen_or_is_measured_on_are_refused(run, trained, share, more, message):
    folder = trained("paper", share)
    before = (folder / "model.pt").read_bytes()
    done = run("calibrate", folder, "--dataset", "market1501", *more)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert (folder / "model.pt").read_bytes() == before


def test_another_listing_of_its_own_dataset_is_refused_too(run, trained, artifacts):
    """Its held-out people cannot be told from the others."""
    folder = trained("paper", 0.5)
    shutil.copy(artifacts / "dukemtmcreid" / "manifest.csv", artifacts / "market1501" / "manifest.csv")
    done = run("calibrate", folder, "--dataset", "market1501")
    assert (done.exit_code, "was trained on these people" in done.stderr) == (2, True)


def test_faults_are_one_line(run, trained, artifacts, tmp_path):
    refused = run("calibrate", tmp_path / "nowhere", "--dataset", "market1501")
    assert (refused.exit_code, "nowhere does not exist. Name the folder of a finished run" in refused.stderr) == (
        2,
        True,
    )
    refused = run("calibrate", tmp_path, "--dataset", "cuhk03-labeled")
    assert (refused.exit_code, "List the images first: dsa-data prepare" in refused.stderr) == (2, True)
    folder = trained("paper", 0.5)
    (folder / "checkpoint.pt").unlink()
    refused = run("calibrate", folder, "--dataset", "market1501")
    assert (refused.exit_code, "says who was held out" in refused.stderr) == (2, True)
    model = write_model(tmp_path / "model.pt")
    few = [one for one in read_manifest(artifacts / "dukemtmcreid" / "manifest.csv") if one.pid in (11, 12)]
    write_manifest(few, tmp_path / "few.csv")
    refused = run("calibrate", model, "--dataset", "dukemtmcreid", "--manifest", tmp_path / "few.csv")
    assert (refused.exit_code, "2 people of dukemtmcreid are too few" in refused.stderr) == (2, True)


def test_distances_that_separate_nobody_are_refused_and_nothing_is_written(run, artifacts, tmp_path, monkeypatch):
    import dsa_train.calibration_fit as fit

    monkeypatch.setattr(fit, "check_separates", lambda curve, slope, genuine=fit.check_separates: genuine(curve, 1.0))
    model = write_model(tmp_path / "model.pt")
    before = model.read_bytes()
    done = run("calibrate", model, "--dataset", "dukemtmcreid")
    assert (done.exit_code, "do not separate these people" in done.stderr) == (2, True)
    assert model.read_bytes() == before


def test_a_run_that_is_training_is_left_alone(run, trained, artifacts, tmp_path):
    from dsa_app.lock import locked

    folder = trained("paper", 0.5)
    with locked(folder, "busy"):
        done = run("calibrate", folder, "--dataset", "market1501")
        assert (done.exit_code, "Another process is training in" in done.stderr) == (2, True)
        assert run("calibrate", folder, "--dataset", "market1501", "--out", tmp_path / "c.pt").exit_code == 0
    assert calibration_stage.model_of(folder) == folder / "model.pt"
