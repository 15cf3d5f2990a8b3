"""Keys of texts are those of pandas, whatever the lengths of the texts and wherever the batch begins."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from kpitoolkit.attribution.text_keys import text_keys


def by_pandas(texts):
    hashed = pd.util.hash_array(np.array([text or "" for text in texts], dtype=object), categorize=False)
    return [0 if text is None else int(key) for text, key in zip(texts, hashed.view(np.int64), strict=True)]


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 15, 16, 36, 64, 65])
def test_texts_of_one_length(length):
    random = np.random.default_rng(length)
    texts = ["".join(chr(letter) for letter in random.integers(48, 122, length)) for _ in range(50)]
    column = pa.array(texts, pa.large_string())
    assert text_keys(column).tolist() == by_pandas(texts)
    assert text_keys(column[7:30]).tolist() == by_pandas(texts[7:30])


@pytest.mark.parametrize("longest", [6, 60])
def test_texts_of_many_lengths_with_nulls_and_other_scripts(longest):
    random = np.random.default_rng(longest)
    texts = ["".join(random.choice(list("aZ0é€😀"), random.integers(0, longest))) for _ in range(300)]
    texts[::17] = [None] * len(texts[::17])
    column = pa.array(texts, pa.large_string())
    assert text_keys(column).tolist() == by_pandas(texts)
    assert text_keys(column[5:]).tolist() == by_pandas(texts[5:])


def test_more_texts_than_are_hashed_at_once():
    texts = [f"user {number % 40_000:06d}" for number in range(50_000)]
    assert text_keys(pa.array(texts, pa.large_string())).tolist() == by_pandas(texts)


def test_no_texts():
    assert text_keys(pa.array([], pa.large_string())).tolist() == []
    assert text_keys(pa.nulls(2, pa.large_string())).tolist() == [0, 0]
