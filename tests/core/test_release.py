import pytest

from pipelines.core.release import Bundle, Release

SHA = "a" * 64


def test_a_bundle_is_named_by_all_that_it_says():
    one = Bundle("fraud", {"model.onnx": SHA}, {"model": "lightgbm"})
    assert Bundle.from_dict(one.to_dict()).digest == one.digest
    assert Bundle("fraud", {"model.onnx": SHA}, {"model": "linear"}).digest != one.digest


@pytest.mark.parametrize("name", ["../model.onnx", "manifest.json", "a/b.json", "", "model", ".hidden", "x\n.json"])
def test_a_file_name_that_could_leave_the_folder_is_refused(name):
    with pytest.raises(ValueError, match="plain file name"):
        Bundle("fraud", {name: SHA}, {})


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"format": 2, "usecase": "x", "files": {}, "made_from": {}},
        {"format": 1, "usecase": "x", "files": {}, "made_from": {}, "more": 1},
    ],
)
def test_another_format_is_refused(data):
    with pytest.raises(ValueError, match="format 1"):
        Bundle.from_dict(data)


def test_an_envelope_changes_its_name_with_any_part():
    release = Release("fraud", SHA, SHA, SHA, None, 5)
    assert release.digest != Release("fraud", SHA, SHA, SHA, SHA, 5).digest
