from typing import Annotated, Literal

import pytest
from pydantic import Field

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.core.params import Section


class Inner(Section):
    """A section within a section."""

    test_size: float = Field(gt=0, lt=1)


class Sample(Section):
    """A section with every kind of key."""

    strategy: Literal["signbridge", "one_per_photo"]
    classes: Annotated[int, Field(ge=1)] | Literal["all"] | list[str]
    inner: Inner


class Drawn(Section):
    """One kind of catalog entry."""

    source: Literal["drawn"]
    size: int


class Fetched(Section):
    """Another."""

    source: Literal["fetched"]
    rows: Inner | None
    handle: str = Field(pattern="^[a-z]+/[a-z]+$")


Entry = Annotated[Drawn | Fetched, Field(discriminator="source")]
SAMPLE = "sample:\n  strategy: signbridge\n  classes: 20\n  inner: {test_size: 0.2}\n"
CHOICE = "dataset: mine\n"
CATALOG = "mine: {source: fetched, rows: null, handle: a/b}\nyours: {source: drawn, size: 28}\n"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "params.yaml"


@pytest.fixture
def catalog(tmp_path):
    return tmp_path / "datasets.yaml"


def message(call, file="params.yaml"):
    """What follows the file's name in the message of the mistake."""
    with pytest.raises(SignBridgeError) as error:
        call()
    text = str(error.value)
    assert "\n" not in text
    before, named, after = text.partition(file)
    assert named, text
    assert before.count(" ") == 0, "the file stands first"
    return after


def test_a_section_is_read_as_its_model(file):
    file.write_text(SAMPLE)
    sample = params.section("sample", Sample, file)
    assert (sample.classes, sample.inner.test_size) == (20, 0.2)


def test_the_seed_is_read(file):
    file.write_text("seed: 42\n")
    assert params.seed(file) == 42


def test_the_chosen_entry_is_read_with_its_name_and_the_others_are_not_checked(file, catalog):
    file.write_text(CHOICE)
    catalog.write_text(CATALOG.replace("size: 28", "size: nonsense"))
    name, entry = params.selected("dataset", catalog, Entry, file)
    assert (name, entry.handle) == ("mine", "a/b")


def test_a_choice_may_lie_in_a_section(file, catalog):
    file.write_text("train:\n  dataset: yours\n")
    catalog.write_text(CATALOG)
    assert params.selected("train.dataset", catalog, Entry, file) == ("yours", Drawn(source="drawn", size=28))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "strategy: signbridge",
            "strategy: notebook",
            "sample.strategy: expected 'signbridge' or 'one_per_photo' (got",
        ),
        ("strategy", "stratgy", "sample.stratgy: unknown key. Did you mean 'strategy'?"),
        ("  strategy: signbridge\n", "", "sample.strategy: this key is missing."),
        ("test_size", "tset_size", "sample.inner.tset_size: unknown key. Did you mean 'test_size'?"),
        ("0.2", "'0.2'", "sample.inner.test_size: expected a number (got '0.2')"),
        ("0.2", "1.5", "sample.inner.test_size: expected less than 1 (got 1.5)"),
        ("{test_size: 0.2}", "3", "sample.inner: expected keys and values (got 3)"),
        ("20", "'20'", "sample.classes: expected an integer, 'all' or a list (got '20')"),
        ("20", "2.5", "sample.classes: expected an integer, 'all' or a list (got 2.5)"),
        ("20", "true", "sample.classes: expected an integer, 'all' or a list (got True)"),
        ("20", "[A, 3]", "sample.classes.1: expected a string (got 3)"),
        ("20", "0", "sample.classes: expected greater than or equal to 1, 'all' or a list (got 0)"),
        ("classes: 20", "classes:", "sample.classes: expected an integer, 'all' or a list (got None)"),
        ("sample:", "sampel:", "key 'sample' is missing. Did you mean 'sampel'?"),
        ("strategy: signbridge", "strategy: [", "line 4: not readable as YAML: did not find expected ',' or ']'"),
        ("classes: 20", "strategy: signbridge", "line 3: not readable as YAML: found duplicate key"),
    ],
)
def test_a_mistake_in_a_section_is_named_by_its_key_with_what_belongs_there(file, old, new, said):
    file.write_text(SAMPLE.replace(old, new))
    assert said in message(lambda: params.section("sample", Sample, file))


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("dataset: mien", ": dataset: no 'mien' in {catalog}. There are: mine, yours."),
        ("dataset: 3", ": dataset: expected a string (got 3)."),
        ("datasets: mine", "key 'dataset' is missing. Did you mean 'datasets'?"),
    ],
)
def test_a_mistaken_choice_is_named_by_its_key_with_what_there_is(file, catalog, choice, said):
    file.write_text(choice)
    catalog.write_text(CATALOG)
    assert said.format(catalog=catalog) in message(lambda: params.selected("dataset", catalog, Entry, file))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("source: fetched", "source: fetchd", ": mine.source: expected 'drawn' or 'fetched' (got 'fetchd')."),
        ("source: fetched", "sorce: fetched", ": mine.source: this key is missing."),
        ("handle", "hadnle", ": mine.hadnle: unknown key. Did you mean 'handle'?"),
        (", handle: a/b", "", ": mine.handle: this key is missing."),
        ("rows: null", "rows: {test_szie: 0.1, test_size: 0.1}", ": mine.rows.test_szie: unknown key. Did you"),
        ("rows: null", "rows: {}", ": mine.rows.test_size: this key is missing."),
        ("a/b", "a", ": mine.handle: expected text of the form ^[a-z]+/[a-z]+$ (got 'a')."),
        ("{source: fetched, rows: null, handle: a/b}", "7", ": mine: expected keys and values (got 7)"),
    ],
)
def test_a_mistake_in_a_catalog_is_named_by_its_key_with_what_belongs_there(file, catalog, old, new, said):
    file.write_text(CHOICE)
    catalog.write_text(CATALOG.replace(old, new, 1))
    assert said in message(lambda: params.selected("dataset", catalog, Entry, file), "datasets.yaml")


@pytest.mark.parametrize("content", ["", "- a", "text"])
def test_a_catalog_that_holds_no_entries_is_refused(file, catalog, content):
    file.write_text(CHOICE)
    catalog.write_text(content)
    refusal = message(lambda: params.selected("dataset", catalog, Entry, file), "datasets.yaml")
    assert ": expected keys and values" in refusal


def test_a_missing_catalog_says_where_to_run(file, catalog):
    file.write_text(CHOICE)
    lost = message(lambda: params.selected("dataset", catalog, Entry, file), "datasets.yaml")
    assert "Run from the project's root" in lost


@pytest.mark.parametrize("content", ["", "just text", "- a\n- b\n"])
def test_a_file_without_keys_is_refused(file, content):
    file.write_text(content)
    assert "expected keys and values" in message(lambda: params.seed(file))


def test_a_missing_file_says_where_to_run(file):
    assert "Run from the project's root" in message(lambda: params.seed(file))


def test_a_long_value_is_shortened(file):
    file.write_text(f"seed: {'x' * 500}\n")
    assert len(message(lambda: params.seed(file))) < 200


@pytest.mark.parametrize("seed", ["-1", "4294967296", "true", '"42"', "4.5", "abc"])
def test_a_seed_that_some_library_would_refuse_later_is_refused_at_once(file, seed):
    file.write_text(f"seed: {seed}\n")
    assert "seed" in message(lambda: params.seed(file))


def test_an_entry_that_is_like_another_is_that_one_but_for_what_it_says(tmp_path):
    catalog = tmp_path / "models.yaml"
    catalog.write_text(
        "a:\n  x: 1\n  y: 2\nb:\n  like: a\n  y: 3\nc:\n  like: b\nd:\n  like: e\ne:\n  like: d\nf:\n  like: g\n"
    )
    assert params.entry("c", catalog, dict) == {"x": 1, "y": 3}
    with pytest.raises(SignBridgeError, match="leads back to itself"):
        params.entry("d", catalog, dict)
    with pytest.raises(SignBridgeError, match="key 'g' is missing"):
        params.entry("f", catalog, dict)


def test_a_message_lists_as_many_entries_as_a_line_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("model: none\n")
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text("".join(f"model-{number:02d}: 1\n" for number in range(90)))
    with pytest.raises(SignBridgeError, match=r"There are: model-00, model-01, .*, model-24 and 65 more\.$"):
        params.selected("model", catalog, int)


@pytest.mark.parametrize(
    ("added", "says"),
    [
        ("sed: 1", "params.yaml: sed: unknown key. Did you mean 'seed'?"),
        ("probe: {layer: [1]}", "params.yaml: probe.layer: unknown key. Did you mean 'layers'?"),
        ("neighbors: 3", "params.yaml: neighbors: unknown key. Did you mean 'project.neighbors'?"),
        ("probe: {xyz: 3}", "params.yaml: probe.xyz: unknown key. There are: layers, grouped."),
        ("probe: {grouped: {fold: 3}}", "params.yaml: probe.grouped.fold: unknown key. Did you mean 'folds'?"),
        ("probe: {grouped: 3}\nmodel_notes: {any: {thing: 1}}\nseed: {a: 1}", None),
    ],
)
def test_an_unknown_key_is_named_with_the_one_that_was_meant(tmp_path, monkeypatch, added, says):
    monkeypatch.chdir(tmp_path)
    params.PARAMS.write_text(f"{added}\n")
    known = ["seed", "probe.layers", "probe.grouped.folds", "project.neighbors", "model_notes.*"]
    if says is None:
        params.check_keys(params.PARAMS, known)
        return
    with pytest.raises(SignBridgeError) as stopped:
        params.check_keys(params.PARAMS, known)
    assert str(stopped.value) == says
