"""The encoder: what is fitted, what comes out, and that it comes back from its bytes the same."""

import numpy as np
import pytest

from pipelines.core.errors import ShelflifeError
from pipelines.features.encoding import Encoder
from pipelines.features.text import TextSettings, grams, tokens

COLUMNS = {
    "cents": np.array([1.0, np.nan, 1e300, -5.0]),
    "country": np.array(["DE", "FR", None, "DE"], dtype=object),
    "text": np.array(["Good bag, good price", "质量很好 good", None, "bad bag"], dtype=object),
}
KINDS = {"cents": "number", "country": "category", "text": "text"}


def fitted(**how):
    return Encoder.fit(COLUMNS, KINDS, text={"least": 1}, **how)


def test_numbers_stay_categories_become_codes_by_frequency_and_texts_columns():
    encoder = fitted()
    matrix = encoder.transform(COLUMNS)
    assert matrix.dtype == np.float32
    assert matrix.shape == (4, len(encoder.columns))
    assert encoder.columns[:2] == ("cents", "country")
    assert encoder.kinds[:3] == ("number", "category", "text")
    assert np.isnan(matrix[1, 0])
    assert np.isnan(matrix[2, 0])
    assert matrix[:, 1].tolist() == [0, 1, -1, 0]


def test_what_was_never_seen_is_unknown_and_a_rare_category_too():
    encoder = fitted(max_categories=1)
    rows = encoder.transform({"cents": [1, 2], "country": ["FR", "IT"], "text": ["unheard", ""]})
    assert rows[:, 1].tolist() == [-1, -1]
    assert not rows[:, 2:].any()


def test_a_row_of_text_has_length_one_and_rarer_words_weigh_more():
    encoder = fitted()
    matrix = encoder.transform(COLUMNS)[:, 2:]
    assert np.allclose(np.linalg.norm(matrix, axis=1), [1, 1, 0, 1])
    terms = [name.removeprefix("text: ") for name in encoder.columns[2:]]
    assert matrix[3, terms.index("bad")] > matrix[3, terms.index("bag")]


def test_sparse_and_dense_are_the_same_matrix():
    encoder = fitted()
    assert np.array_equal(encoder.transform(COLUMNS, sparse=True).toarray(), encoder.transform(COLUMNS), equal_nan=True)


def test_an_encoder_comes_back_from_its_bytes_the_same():
    encoder = fitted()
    again = Encoder.from_json(encoder.to_json())
    assert again == encoder
    assert again.to_json() == encoder.to_json()
    assert np.array_equal(again.transform(COLUMNS), encoder.transform(COLUMNS), equal_nan=True)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\x80\x04", b'{"format": 9}'])
def test_bytes_that_are_no_encoder_are_refused_in_one_sentence(data):
    with pytest.raises(ShelflifeError, match="wanted an encoder"):
        Encoder.from_json(data)


def test_a_number_that_holds_texts_is_a_category_and_a_category_without_values_is_unknown():
    encoder = Encoder.fit({"last": np.array(["a", None], dtype=object)}, {"last": "number"})
    assert encoder.kinds == ("category",)
    assert encoder.transform({"last": np.array([np.nan, np.nan])}).tolist() == [[-1], [-1]]


def test_chinese_is_characters_english_words_and_full_width_is_plain():
    assert tokens("\uff27\uff2f\uff2f\uff24 bag's\uff0c质量 ok!") == ["good", "bag's", "质", "量", "ok"]
    assert grams("质量好", (1, 2)) == ["质", "量", "好", "质 量", "量 好"]
    assert tokens(None) == []


def test_a_vocabulary_keeps_the_most_frequent_terms_and_ties_do_not_depend_on_order():
    texts = ["b a", "a b", "c"]
    settings = TextSettings(ngrams=(1,), terms=2, least=1)
    one = Encoder.fit({"t": texts}, {"t": "text"}, text=settings)
    other = Encoder.fit({"t": texts[::-1]}, {"t": "text"}, text=settings)
    assert one.columns == ("t: a", "t: b") == other.columns


@pytest.mark.parametrize(("kinds", "text", "message"), [
    ({"absent": "number"}, None, "wanted a column absent"),
    ({"cents": "picture"}, None, "wanted a kind"),
    ({"text": "text"}, {"gram": 3}, "no setting gram"),
])  # fmt: skip
def test_what_cannot_be_fitted_is_one_clear_sentence(kinds, text, message):
    with pytest.raises(ShelflifeError, match=message):
        Encoder.fit(COLUMNS, kinds, text=text)


def test_a_word_where_a_number_was_is_refused():
    with pytest.raises(ShelflifeError, match="cents: wanted numbers"):
        fitted().transform({**COLUMNS, "cents": np.array(["x", 1, 2, 3], dtype=object)})
