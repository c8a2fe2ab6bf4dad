"""Recipes and options that cannot be meant: exit code 2, the key, what to do, and nothing touched."""

import pytest
from support import RECIPE, untouched


@pytest.fixture
def refuses(millrace, recipe, dataset):
    """A function that trains with these arguments, which must be refused with these texts."""

    def refuse(*arguments, says):
        with untouched(millrace.folder):
            return millrace.refuses(2, "train", "recipe.toml", "--data", dataset, "--out", "run", *arguments, says=says)

    return refuse


SETTINGS = [
    # What is not there.
    ("optimizer.momentun=0.5", ["recipe.toml: optimizer.momentun", 'did you mean "momentum"?']),
    ("optimzer.lr=0.1", ["recipe.toml: optimzer", 'did you mean "optimizer"?']),
    ("optimizer.learning_rate=0.1", ["recipe.toml: optimizer.learning_rate", "lr, momentum"]),
    ("data.train.ops=[{op='random_resized_crop', size=32, scael=[0.5, 1.0]}]",
     ["data.train.ops[0].scael", 'did you mean "scale"?']),
    ("model.sync_batchnorm=true", ["recipe.toml: model.sync_batchnorm", 'did you mean "sync_batch_norm"?']),
    # Of another type.
    ("optimizer.lr=fast", ["recipe.toml: optimizer.lr", '"fast"', "must be a number"]),
    ("optimizer.lr=nan", ["recipe.toml: optimizer.lr", "nan", "finite"]),
    ("train.epochs=1.5", ["recipe.toml: train.epochs", "1.5", "whole number"]),
    ("train.epochs='3'", ["recipe.toml: train.epochs", '"3"', "whole number"]),
    ("model=resnet18", ["recipe.toml: model", "section"]),
    ("model.sync_batch_norm=1", ["recipe.toml: model.sync_batch_norm", "true or false"]),
    ("seed=2001-01-01", ["recipe.toml: seed", "dates and times"]),
    ("data.train.ops=[3]", ["recipe.toml: data.train.ops", "entry 0 is 3"]),
    ("pipeline.workers=many", ["recipe.toml: pipeline.workers", "auto", "whole number"]),
    # Outside of what is possible.
    ("optimizer.lr=-1", ["recipe.toml: optimizer.lr", "is -1", "at least 0"]),
    ("train.epochs=0", ["recipe.toml: train.epochs", "is 0"]),
    ("batch.per_device=99999999999", ["recipe.toml: batch.per_device", "99999999999"]),
    ("batch.per_device=0", ["recipe.toml: batch.per_device", "batch.global"]),
    ("pipeline.slots=0", ["recipe.toml: pipeline.slots", "is 0"]),
    ("loss.label_smoothing=2", ["recipe.toml: loss.label_smoothing", "between 0 and 1"]),
    ("data.normalize.std=[0, 1, 1]", ["recipe.toml: data.normalize.std", "positive"]),
    ("data.train.ops=[]", ["recipe.toml: data.train.ops", "random_resized_crop"]),
    ("data.train.ops=[{op='horizontal_flip'}]", ["data.train.ops[0].op", "size depends on the picture"]),
    ("batch.global=40", ["recipe.toml: batch.global", "is 40", "multiple of 16"]),
    # Names that nothing has.
    ("plugins=['a.so']", ["recipe.toml: plugins[0]", "there is no plugin", "a.so", "build it"]),
    ("tracking.sinks=[{sink='csv'}]", ["recipe.toml: tracking.sinks[0].sink", '"csv"', "no plugin of this recipe"]),
    ("model.name=resnet19", ["recipe.toml: model.name", "resnet50", 'did you mean "resnet18"?']),
    ("optimizer.name=sdg", ["recipe.toml: optimizer.name", "sgd"]),
    ("schedule.name=cosin", ["recipe.toml: schedule.name", "one_cycle", 'did you mean "cosine"?']),
    ("loss.name=crossentropy", ["recipe.toml: loss.name", 'did you mean "cross_entropy"?']),
    ("data.train.ops=[{op='random_resize_crop', size=8}]",
     ["data.train.ops[0].op", '"random_resize_crop"', 'did you mean "random_resized_crop"?']),
    ("data.train.ops=[{op='random_resized_crop', size=8, resize='pilow'}]",
     ["data.train.ops[0].resize", 'did you mean "pillow"?']),
    # Without effect.
    ("data.val.shuffle=full", ["recipe.toml: data.val.shuffle", "has no effect"]),
    # What the data cannot give.
    ("model.classes=1000", ["recipe.toml: model.classes", "is 1000", "3 classes", "leave the setting out"]),
    ("batch.per_device=121", ["120 samples", "121", "make batch.per_device smaller"]),
]


@pytest.mark.parametrize(("setting", "says"), SETTINGS, ids=[setting for setting, _ in SETTINGS])
def test_setting_wrong_is_refused_by_key(refuses, setting, says):
    refuses("--set", setting, says=says)


@pytest.mark.parametrize("text", ["lr", "=3", ""])
def test_set_without_key_and_value_is_refused(refuses, text):
    refuses("--set", text, says=[f"--set {text}", "section.key=value"])


@pytest.mark.parametrize(("devices", "says"), [
    ("gpu", "cpu:N"), ("cpu:0", "from 1 to 64"), ("cpu:x", "cpu:N"), ("cpu:65", "from 1 to 64"), ("", "cpu:N"),
])
def test_devices_unknown_are_refused(refuses, devices, says):
    refuses("--devices", devices, says=[f"--devices {devices}", says])


def test_devices_without_a_slot_each_are_refused(refuses):
    refuses("--devices", "cpu:3", "--set", "pipeline.slots=2", says=["pipeline.slots", "is 2", "3 devices"])


def test_key_without_a_reader_is_refused_in_the_file_too(refuses, recipe):
    recipe.write_text(RECIPE.replace("momentum = 0.9", "momentum = 0.9\ndampening = 0.1"))
    refuses(says=["recipe.toml: optimizer.dampening", "momentum"])


@pytest.fixture
def config(millrace):
    """A function that checks a recipe, written here, which must be refused with these texts."""

    def refuse(text, says, name="my.toml"):
        (millrace.folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        with untouched(millrace.folder):
            return millrace.refuses(2, "config", name, says=says)

    return refuse


def test_recipe_missing_is_refused(millrace):
    millrace.refuses(2, "config", "none.toml", says="there is no recipe none.toml")
    millrace.refuses(2, "config", ".", says=".")


def test_recipe_that_is_no_toml_is_refused_with_line_and_column(config):
    config("seed = 0\n[train\nepochs = 3\n", says="my.toml:2:7")
    config("[train]\nepochs = 3\nepochs = 4\n", says=["my.toml:3:", "epochs"])
    config(b"\xff\xfe", says="my.toml:1:1")


def test_recipe_empty_says_what_is_missing_first(config):
    config("", says=["my.toml: data.train.ops: is missing", "random_resized_crop"])


def test_parent_missing_is_refused_naming_both_files(config):
    config('extends = "base/none.toml"\n' + RECIPE, says=["my.toml: extends", "there is no recipe base/none.toml"])


def test_parent_that_is_no_text_is_refused(config):
    config("extends = 3\n", says=["my.toml: extends", "in quotes"])


def test_circle_of_parents_is_refused_with_its_members(config, millrace):
    (millrace.folder / "a.toml").write_text('extends = "b.toml"\n')
    (millrace.folder / "b.toml").write_text('extends = "my.toml"\n')
    config('extends = "a.toml"\n', says=["circle", "my.toml", "a.toml", "b.toml"])
    config('extends = "self.toml"\n', name="self.toml", says=["circle", "self.toml"])


def test_error_in_a_parent_names_the_parent(config, millrace):
    (millrace.folder / "parent.toml").write_text("[train\n")
    config('extends = "parent.toml"\n', says="parent.toml:1:")


def test_dataset_not_given_is_refused(millrace, recipe):
    millrace.refuses(2, "train", recipe, says=["--data", "data.path", "recipe.toml"])
