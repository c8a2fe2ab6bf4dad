"""Exact evaluation, against a count that torchvision and Pillow make on their own."""

import json
import re
from statistics import NormalDist

import numpy
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from support import Program, checkpoints, metrics
from torchvision import transforms

# More classes than five, so that top-5 says something; a number of pictures that no batch size here divides.
NAMES = [f"class{label}" for label in range(8)]
PER_CLASS = 11
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
RECIPE = """
[data.train]
ops = [{ op = "random_resized_crop", size = 32 }]
[data.val]
ops = [{ op = "resize", size = 40 }, { op = "center_crop", size = 32 }]
[batch]
per_device = 16
[model]
name = "resnet18"
[loss]
name = "cross_entropy"
[optimizer]
name = "sgd"
lr = 0.1
[schedule]
name = "constant"
[train]
epochs = 1
"""


def wilson(hits, count):
    """The rates at which so many hits are just within 1.96 standard deviations of the binomial distribution: the two
    solutions of n (hits/n - p)^2 = z^2 p (1 - p), found by bisection."""
    z = NormalDist().inv_cdf(0.975)

    def edge(inside, outside):
        for _ in range(60):
            middle = (inside + outside) / 2
            within = count * (hits / count - middle) ** 2 <= z * z * middle * (1 - middle)
            inside, outside = (middle, outside) if within else (inside, middle)
        return inside

    return [edge(hits / count, 0), edge(hits / count, 1)]


@pytest.fixture(scope="module")
def judged(path, tmp_path_factory):
    """A folder with dataset, recipe and weights, and how many are right in torchvision's hands."""
    folder = tmp_path_factory.mktemp("judged")
    random = numpy.random.default_rng(31)
    pictures, labels, paths = [], [], []
    prepare = transforms.Compose([transforms.Resize(40), transforms.CenterCrop(32), transforms.ToTensor(),
                                  transforms.Normalize(MEAN, STD)])
    for label, name in enumerate(NAMES):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(PER_CLASS):
            width, height = random.integers(33, 90, 2)
            pixels = random.integers(0, 200, (height, width, 3))
            pixels[..., label % 3] += 7 * label
            file = folder / "pictures" / name / f"{number}.jpg"
            Image.fromarray(pixels.astype(numpy.uint8)).save(file, quality=90)
            pictures.append(prepare(Image.open(file).convert("RGB")))
            labels.append(label)
            paths.append(f"{name}/{number}.jpg")
    pictures, labels = torch.stack(pictures), torch.tensor(labels)

    torch.set_num_threads(1)  # two teams of threads on few cores wait for each other
    torch.manual_seed(5)
    model = torchvision.models.resnet18(num_classes=len(NAMES))
    with torch.no_grad():
        for _ in range(5):  # statistics of these pictures: without them all answers would be one class
            model(pictures)
        logits = model.eval()(pictures)
    save_file(model.state_dict(), folder / "weights.safetensors")
    best = logits.sort(descending=True).values
    assert (best[:, 0] - best[:, 1]).min() > 1e-4 and (best[:, 4] - best[:, 5]).min() > 1e-4, "too near to a tie"
    answers = logits.argmax(1)
    judgement = {
        "samples": len(labels),
        "top1_count": int((answers == labels).sum()),
        "top5_count": int((logits.topk(5).indices == labels[:, None]).any(1).sum()),
        "loss": float(torch.nn.functional.cross_entropy(logits, labels)),
        "answers": [[int(((answers == answer) & (labels == label)).sum()) for answer in range(len(NAMES))]
                    for label in range(len(NAMES))],
        "first_five": dict(zip(paths, logits.topk(5).indices.tolist(), strict=True)),
    }
    assert 0 < judgement["top1_count"] < judgement["top5_count"] < judgement["samples"]

    (folder / "recipe.toml").write_text(RECIPE)
    Program(path, folder).done("convert", "--from", "pictures", "--to", "data", "--split", "val", "--shards", "3")
    return folder, judgement


@pytest.mark.parametrize(("devices", "batch"), [("cpu", 1000), ("cpu:1", 7), ("cpu:2", 13), ("cpu:3", 9)])
def test_counts_equal_torchvisions_for_any_lanes_and_batch(millrace, judged, devices, batch):
    folder, judgement = judged
    counted = millrace.done("eval", folder / "recipe.toml", "--data", folder / "data", "--weights",
                            folder / "weights.safetensors", "--devices", devices, "--json",
                            "--set", f"batch.evaluate_per_device={batch}").json()
    for name in ("samples", "top1_count", "top5_count"):
        assert counted[name] == judgement[name], name
    for name in ("top1", "top5"):
        assert counted[name] == judgement[name + "_count"] / judgement["samples"]
        assert counted[name + "_interval"] == pytest.approx(wilson(judgement[name + "_count"], judgement["samples"]))
    assert counted["loss"] == pytest.approx(judgement["loss"], rel=1e-4)
    assert [row["answers"] for row in counted["classes"]] == judgement["answers"]
    assert [(row["id"], row["samples"]) for row in counted["classes"]] == [(name, PER_CLASS) for name in NAMES]


def test_table_tells_what_json_tells(millrace, judged):
    folder, judgement = judged
    out = millrace.done("eval", folder / "recipe.toml", "--data", folder / "data", "--weights",
                        folder / "weights.safetensors").out
    rates = [f"{count / 88:.4f} [{low:.4f}, {high:.4f}]" for count in (judgement["top1_count"], judgement["top5_count"])
             for low, high in [wilson(count, 88)]]
    assert f"88 images  top-1 {rates[0]}  top-5 {rates[1]}  loss {judgement['loss']:.4f}  (brackets: 95 % intervals)" in out
    assert " taken for " in out


def test_other_labels_are_counted_beside_the_datasets_own(millrace, judged):
    folder, judgement = judged
    # None, one, two or three right classes; the dataset's is among them now and then.
    labels = {path: [(label + step * number) % len(NAMES) for step in range(number % 4)]
              for label, name in enumerate(NAMES) for number in range(PER_CLASS) for path in [f"{name}/{number}.jpg"]}
    (millrace.folder / "labels.json").write_text(json.dumps(labels))
    (millrace.folder / "labels.txt").write_text("".join(f"{path} {' '.join(NAMES[label] for label in right)}\n"
                                                        for path, right in labels.items()))
    first_five = judgement["first_five"]
    counted = {path: right for path, right in labels.items() if right}
    own = {path: NAMES.index(path.split("/")[0]) for path in counted}
    expected = {
        "top1": sum(first_five[path][0] in right for path, right in counted.items()),
        "top5": sum(bool(set(first_five[path]) & set(right)) for path, right in counted.items()),
        "own_top1": sum(first_five[path][0] == own[path] for path in counted),
        "own_top5": sum(own[path] in first_five[path] for path in counted),
        "own_among": sum(own[path] in right for path, right in counted.items()),
    }
    assert 0 < expected["own_top1"] < expected["top1"] < expected["top5"] < len(counted) < len(labels)
    command = ["eval", folder / "recipe.toml", "--data", folder / "data", "--weights", folder / "weights.safetensors",
               "--devices", "cpu:2", "--labels"]

    told = millrace.done(*command, "labels.json", "--json").json()
    assert told["top1_count"] == judgement["top1_count"]
    assert (told["labels"]["file"], told["labels"]["samples"]) == ("labels.json", len(counted))
    assert told["labels"]["left_out"] == len(labels) - len(counted)
    for name, hits in expected.items():
        assert told["labels"][name + "_count"] == hits, name
        assert told["labels"][name] == hits / len(counted)
        assert told["labels"][name + "_interval"] == pytest.approx(wilson(hits, len(counted)))

    out = millrace.done(*command, "labels.txt").out
    assert f"by the labels of labels.txt: {len(counted)} images, {len(labels) - len(counted)} left out\n" in out
    assert f"\n  their labels       top-1 {expected['top1'] / len(counted):.4f} [" in out
    assert f"\n  the dataset's own  top-1 {expected['own_top1'] / len(counted):.4f} [" in out
    assert f"; {100 * expected['own_among'] / len(counted):.2f} % of them are among theirs\n" in out

    (millrace.folder / "real.json").write_text(json.dumps([[999], [3]]))
    millrace.refuses(1, *command, "real.json",
                     says="real.json, entry 1 (ILSVRC2012_val_00000001): there is no class 999: the dataset has 8 classes")


def test_folders_named_by_class_numbers_are_the_same_set(millrace, judged):
    folder, _ = judged
    (millrace.folder / "v2").mkdir()
    for label, name in enumerate(NAMES):
        (millrace.folder / "v2" / str(label)).symlink_to(folder / "pictures" / name)
    (millrace.folder / "classes.txt").write_text("".join(f"{name} a name\n" for name in NAMES))
    made = millrace.done("convert", "--from", "v2", "--classes", "classes.txt", "--to", "data", "--split", "val", "--json")
    of_names = json.loads((folder / "data" / "manifest.json").read_text())["splits"]["val"]["fingerprint"]
    assert made.json()["fingerprint"] == of_names


def test_recipe_without_validation_is_refused(millrace, judged):
    folder, _ = judged
    recipe = millrace.folder / "no-val.toml"
    recipe.write_text(re.sub(r"\[data.val\].*?(?=\[batch\])", "", RECIPE, flags=re.DOTALL))
    millrace.refuses(2, "eval", recipe, "--data", folder / "data", "--weights", folder / "weights.safetensors",
                     says=["no-val.toml: data.val", "is missing"])


def test_recipe_with_an_unknown_key_is_refused(millrace, judged):
    folder, _ = judged
    millrace.refuses(2, "eval", folder / "recipe.toml", "--data", folder / "data", "--weights",
                     folder / "weights.safetensors", "--set", "optimizer.momentun=0.9",
                     says=["recipe.toml: optimizer.momentun", 'did you mean "momentum"?'])


def test_evaluation_while_training_counts_every_sample_once(straight):
    evaluations = [line for line in metrics(straight) if line["group"] == "val"]
    assert [line["step"] for line in evaluations] == [7, 14]
    assert all(line["samples"] == 45 for line in evaluations)


def test_eval_of_the_last_checkpoint_tells_what_the_run_told(millrace, recipe, dataset, straight):
    counted = millrace.done("eval", recipe, "--data", dataset, "--weights", checkpoints(straight)[-1], "--json").json()
    last = [line for line in metrics(straight) if line["group"] == "val"][-1]
    assert (counted["samples"], counted["top1"], counted["top5"]) == (last["samples"], last["top1"], last["top5"])
    assert counted["loss"] == last["loss"]
