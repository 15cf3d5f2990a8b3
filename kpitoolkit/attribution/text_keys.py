"""Integer keys of texts: SipHash-2-4 of their UTF-8 bytes, as `pandas.util.hash_array` gives it, many texts at once."""

import numpy as np
import pandas as pd
import pyarrow as pa

_KEY = b"0123456789123456"
_START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_SPREAD = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))  # as pandas does with every hash
_BLOCK = 2**14  # small enough for a processor's cache
_LONGEST, _LENGTHS = 64, 32


def text_keys(texts: pa.LargeStringArray) -> np.ndarray:
    """Return an integer key for each text, the same on every machine and for every batch; null gives 0.

    Parameters
    ----------
    texts : large_string array

    Returns
    -------
    array of int64

    Examples
    --------
    >>> text_keys(pa.array(["a", None, "u 42"], pa.large_string())).tolist()[:2]
    [-4496393130729816112, 0]
    """
    keys = np.zeros(len(texts), dtype=np.uint64)
    if not len(texts):
        return keys.view(np.int64)
    _valid, offsets, letters = texts.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    letters = np.frombuffer(letters, dtype=np.uint8) if letters is not None else np.zeros(0, dtype=np.uint8)
    length = np.diff(bounds)
    lengths = np.flatnonzero(np.bincount(np.minimum(length, _LONGEST + 1)))
    if len(lengths) > _LENGTHS or lengths[-1] > _LONGEST:
        seen = texts.fill_null("").to_numpy(zero_copy_only=False)
        keys[:] = pd.util.hash_array(seen.astype(object), categorize=False)
    else:
        for same in lengths:
            rows = slice(0, len(texts)) if len(lengths) == 1 else np.flatnonzero(length == same)
            keys[rows] = _hashed(letters, bounds[:-1][rows], int(same))
    if texts.null_count:
        keys[texts.is_null().to_numpy(zero_copy_only=False)] = 0
    return keys.view(np.int64)


def _hashed(letters: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Hash texts of one length, which start at these places among the letters."""
    hashes = np.empty(len(starts), dtype=np.uint64)
    first, second = np.frombuffer(_KEY, dtype="<u8")
    padded = np.zeros((_BLOCK, length // 8 * 8 + 8), dtype=np.uint8)
    padded[:, -1] = length
    for at in range(0, len(starts), _BLOCK):
        start = starts[at : at + _BLOCK]
        n = len(start)
        if start[-1] - start[0] == (n - 1) * length:
            padded[:n, :length] = letters[start[0] : start[0] + n * length].reshape(n, length)
        else:
            padded[:n, :length] = letters[start[:, None] + np.arange(length)]
        state = np.empty((4, n), dtype=np.uint64)
        for part, value in enumerate(_START):
            state[part] = np.uint64(value) ^ (first, second)[part % 2]
        free = np.empty(n, dtype=np.uint64)
        for word in padded[:n].view("<u8").T.copy():
            state[3] ^= word
            _mixed(*state, free, 2)
            state[0] ^= word
        state[2] ^= np.uint64(0xFF)
        _mixed(*state, free, 4)
        hashed = state[0] ^ state[1] ^ state[2] ^ state[3]
        for bits, factor in _SPREAD:
            hashed ^= hashed >> bits
            hashed *= np.uint64(factor)
        hashes[at : at + n] = hashed
    return hashes


def _mixed(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, free: np.ndarray, rounds: int) -> None:
    """Do rounds of SipHash on its four words, in place."""
    for _ in range(rounds):
        for one, two, three, four, bits in ((a, b, c, d, (13, 16)), (c, b, a, d, (17, 21))):
            np.add(one, two, out=one)
            np.add(three, four, out=three)
            _turned(two, bits[0], free)
            _turned(four, bits[1], free)
            np.bitwise_xor(two, one, out=two)
            np.bitwise_xor(four, three, out=four)
            _turned(one, 32, free)


def _turned(x: np.ndarray, bits: int, free: np.ndarray) -> None:
    """Move all bits up, the highest around to the lowest places, in place."""
    np.right_shift(x, 64 - bits, out=free)
    np.left_shift(x, bits, out=x)
    np.bitwise_or(x, free, out=x)
