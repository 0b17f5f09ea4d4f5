from autocompress.analysis.text import plan_summary, plan_text

PRUNE = {"scheme": "prune", "density": 0.0512345}
BOOK = {"scheme": "codebook", "k": 4}


def task(name, compression):
    return {"name": name, "params": [f"{name}.weight"], "compression": compression}


def test_a_plan_is_told_task_by_task():
    candidate = {"tasks": [task("fc1", PRUNE), task("fc2", {"scheme": "dense"})]}
    assert plan_text(candidate) == "fc1: prune(density=0.0512); fc2: dense"
    assert plan_summary(candidate) == "1 prune, 1 dense"


def test_compositions_and_sums_read_as_such():
    compose = {"scheme": "compose", "of": [PRUNE, BOOK]}
    both = {"tasks": [task("a", compose), task("b", {"scheme": "additive", "of": [BOOK, PRUNE]})]}
    assert plan_text(both) == (
        "a: prune(density=0.0512) then codebook(k=4); b: codebook(k=4) + prune(density=0.0512)"
    )
    assert plan_summary(both) == "1 prune+codebook, 1 codebook+prune"


def test_equal_schemes_are_counted():
    candidate = {"tasks": [task("a", PRUNE), task("b", BOOK), task("c", BOOK)]}
    assert plan_summary(candidate) == "2 codebook, 1 prune"


def test_nothing_to_compress_and_nothing_known():
    assert plan_text({"tasks": []}) == plan_summary({"tasks": []}) == "dense"
    assert plan_text(None) == plan_summary(None) == ""


def test_defaults_are_left_out_and_norms_named() -> None:
    uniform = {"scheme": "uniform", "bits": 4, "symmetric": True, "per": "channel", "scale": "mse"}
    tasks = [
        {"name": "a", "compression": uniform},
        {"name": "b", "compression": {"scheme": "prune", "density": 0.1}, "weighting": "fisher"},
        {"name": "c", "compression": {"scheme": "mine:Scheme", "zero": False}},
    ]
    assert plan_text({"tasks": tasks}) == (
        "a: uniform(bits=4, per=channel); b: prune(density=0.1) in the fisher norm; "
        "c: mine:Scheme(zero=False)"
    )
