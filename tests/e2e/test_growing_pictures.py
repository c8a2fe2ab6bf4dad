"""`data.train.progressive` and `data.train.repeats`: pictures grow with the epochs, a batch has samples several times."""

from support import metrics, same_runs

# Epochs of 5 steps with pictures of 16, 24 and 32 pixels.
GROWING = ("--set", "train.epochs=3", "--set", "batch.per_device=24", "--set", "model.width=8",
           "--set", "schedule.name=constant",
           "--set", "data.train.progressive={ from = 16, begin_epoch = 0, end_epoch = 2, step = 8 }")
REPEATED = ("--set", "data.train.repeats=4", "--set", "data.train.mix=[{ op = 'mixup' }]")


def test_run_in_pieces_is_the_straight_one(millrace, recipe, dataset):
    run = ("train", recipe, "--data", dataset, "--devices", "cpu", *GROWING, *REPEATED)
    millrace.done(*run, "--out", "straight")
    # Between epochs and within one.
    for step in (5, 8):
        assert millrace(*run, "--out", "pieces", "--resume", "auto", "--stop-after", step).code == 3
    millrace.done(*run, "--out", "pieces", "--resume", "auto")
    assert len([line for line in metrics(millrace.folder / "straight") if line["group"] == "train"]) == 15
    same_runs(millrace.folder / "straight", millrace.folder / "pieces")


def test_first_epoch_is_that_of_a_run_with_small_pictures(millrace, recipe, dataset):
    def lines(out, *settings):
        millrace.done("train", recipe, "--data", dataset, "--out", out, "--devices", "cpu", *settings)
        return [line for line in metrics(millrace.folder / out) if line["group"] == "train"]

    growing = lines("growing", *GROWING, "--set", "train.max_steps=6")
    small = lines("small", "--set", "batch.per_device=24", "--set", "model.width=8", "--set", "schedule.name=constant",
                  "--set", "train.max_steps=6", "--set",
                  "data.train.ops=[{op='random_resized_crop', size=16, scale=[0.5, 1.0]}, {op='horizontal_flip'}]")
    assert growing[:5] == small[:5]
    assert growing[5]["batches"] != small[5]["batches"]


def test_settings_that_cannot_be_are_refused(millrace, tiny_recipe, dataset):
    for setting, says in [
        ("progressive={ from = 8, begin_epoch = 0, end_epoch = 2, step = 8 }",
         "data.train.progressive.from: is 8; it must be less than the 8 pixels of ops, to which pictures grow"),
        ("progressive={ from = 4, begin_epoch = 2, end_epoch = 2, step = 4 }",
         "data.train.progressive.end_epoch: is 2; it must come after begin_epoch = 2."),
        ("progressive={ from = 4, begin_epoch = 0, end_epoch = 2, step = 4, until = 3 }",
         "data.train.progressive.until: is not a setting that is read here"),
        ("repeats=3", "data.train.repeats: is 3, of which the global batch of 8 is not a multiple"),
    ]:
        millrace.refuses(2, "train", tiny_recipe, "--data", dataset, "--out", "run", "--set", f"data.train.{setting}",
                         says=says)


def test_profile_measures_the_last_size_and_says_so(millrace, tiny_recipe, dataset):
    profiled = millrace.done("profile", tiny_recipe, "--data", dataset, "--devices", "cpu", "--seconds", "0.2", "--json",
                             "--stages", "feed", "--set",
                             "data.train.progressive={ from = 4, begin_epoch = 90, end_epoch = 99, step = 4 }")
    assert profiled.json()["picture"] == [8, 8]
    augment = profiled.json()["feed_alone"]["stages"]["augment"]
    assert augment["bytes"] == augment["calls"] * 3 * 8 * 8 > 0
    assert "all pictures have the size of the last epochs; in earlier ones they are smaller" in profiled.err
