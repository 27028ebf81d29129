#!/usr/bin/env python3
"""A family of many fine-tunes from one real pair: for measurements of repacking.

    test/lib/make_branches.py BASE CHILD COUNT DIR        needs python3-numpy

Writes DIR/0.safetensors (the base) to DIR/COUNT-1.safetensors and DIR/family, a line
"number parent" each. Every version is its parent, changed like CHILD against BASE: the
magnitudes of that real fine-tune's changes, shuffled within each row of a tensor, with random
signs, at a random rate (a quarter to four times the real one), in the file's bf16. Parents are chosen
as hubs grow: half of the time the newest version (a run of checkpoints), else any one (a
branch). One in ten leaves all layers but the embedding as they were, one in ten the embedding.
"""
import json
import struct
import sys

import numpy as np


def read(path):
    data = open(path, 'rb').read()
    n = struct.unpack('<Q', data[:8])[0]
    return data[:8 + n], json.loads(data[8:8 + n]), np.frombuffer(data[8 + n:], np.uint16).copy()


def wide(bf16):
    return (bf16.astype(np.uint32) << 16).view(np.float32)


def rounded(f32):
    bits = f32.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def tensors(header):
    for name, t in header.items():
        if name != '__metadata__':
            first, end = t['data_offsets']
            yield name, t['shape'], slice(first // 2, end // 2)


def changed(content, change, header, rng):
    kind = rng.integers(10)
    rate = np.float32(4.0 ** rng.uniform(-1, 1))
    result = content.copy()
    for name, shape, at in tensors(header):
        if kind == 0 and 'embed' not in name or kind == 1 and 'embed' in name:
            continue
        size = change[at].reshape(shape[0], -1)
        size = rng.permuted(size, axis=1) * rng.choice(np.float32([-1, 1]), size.shape)
        result[at] = rounded(wide(content[at]) + rate * size.ravel())
    return result


base, child, count, directory = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
head, header, content = read(base)
change = np.abs(wide(read(child)[2]) - wide(content))
rng = np.random.default_rng(7)
family = [content]
with open(f'{directory}/family', 'w') as lines:
    for number in range(count):
        parent = number - 1 if rng.random() < 0.5 else int(rng.integers(max(number, 1)))
        if number > 0:
            family.append(changed(family[parent], change, header, rng))
        with open(f'{directory}/{number}.safetensors', 'wb') as file:
            file.write(head + family[number].tobytes())
        print(number, parent if number > 0 else '-', file=lines)
