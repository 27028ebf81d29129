#!/usr/bin/env python3
"""Make src/core/codec/family_tables.h: the fixed coding tables of the residual coder.

Not run by any test: the tables are part of the format. Needs python3-numpy.

    test/lib/make_family.py DIR BASE:CHILD ... > src/core/codec/family_tables.h

Each BASE:CHILD names two safetensors files of DIR. Every chunk of every changed
tensor is reduced to what the residual coder sees (docs/format.md, coding 5): the
folded difference and the exponent of the prediction of each element, in blocks
of 128. Then, in turns: every block takes the scale that codes it cheapest by the
tables so far, every chunk the shape that codes it cheapest, and the tables are
counted anew (Lloyd's algorithm over distributions). Counts are smoothed along
the tokens' tail and between neighbouring contexts; contexts that hardly occur
lean on the tables of all shapes together, and those below the lowest that does
are extrapolated: half the change, half the probability of one.
"""
import json
import os
import struct
import sys

import numpy as np

STEP = 4                        # contexts an octave
LOWEST = -10 * STEP             # context 0: an expected change of 2^-10 units in the last place
TOP = 60                        # from the octave of this context on, low bits are raw
CONTEXTS = 88
BLOCK = 128
SHAPES = 3
SLOTS = 2048
ESCAPE = 255
CHUNK = 1 << 20
LAYOUTS = {'F16': (np.uint16, 16, 5, 10), 'BF16': (np.uint16, 16, 8, 7), 'F32': (np.uint32, 32, 8, 23)}


def read_model(path):
    data = open(path, 'rb').read()
    length = struct.unpack('<Q', data[:8])[0]
    header = json.loads(data[8:8 + length])
    header.pop('__metadata__', None)
    return {name: (t['dtype'], t['shape'], data[8 + length:][slice(*t['data_offsets'])])
            for name, t in header.items()}


class Chunk:
    """Blocks in which something changed: folded differences, exponents, and the scale of each."""

    def __init__(self, child, parent, dtype):
        kind, width, exponent_bits, mantissa_bits = LAYOUTS[dtype]
        x = np.frombuffer(child, kind).astype(np.int64)
        p = np.frombuffer(parent, kind).astype(np.int64)
        count = len(x) // BLOCK * BLOCK
        x, p = x[:count], p[:count]
        sign = 1 << (width - 1)
        magnitude = sign - 1
        ordered = np.where((x ^ p) & sign, -1 - (x & magnitude), x & magnitude)
        away = ordered - (p & magnitude)            # positive: away from zero
        folded = np.where(away < 0, -2 * away - 1, 2 * away)
        exponent = np.maximum(p >> mantissa_bits & (1 << exponent_bits) - 1, 1)
        change = np.abs(away).astype(float) * 2.0 ** (exponent - exponent.max())
        mean = change.reshape(-1, BLOCK).mean(1)
        changed = folded.reshape(-1, BLOCK).max(1) > 0
        self.folded = folded.reshape(-1, BLOCK)[changed]
        self.exponent = exponent.reshape(-1, BLOCK)[changed]
        self.scale = np.floor(STEP * (np.log2(mean[changed]) + exponent.max())).astype(int)
        self.most_shift = max(0, mantissa_bits - 7)

    def tokens(self, step=0):
        """Contexts, tokens and raw bits of all elements at the blocks' scales + step."""
        q = (self.scale + step)[:, None] - STEP * self.exponent - LOWEST
        shift = np.clip((q - TOP) // STEP, 0, self.most_shift)
        context = np.clip(q - STEP * shift, 0, CONTEXTS - 1)
        v = self.folded >> shift
        octave = np.floor(np.log2(np.maximum(v, 1) + 0.5)).astype(int)
        rest = np.maximum(octave - 3, 0)
        coarse = v >= 128
        token = np.where(coarse, 128 + (octave - 7) * 8 + (v >> rest & 7), v)
        return context, np.minimum(token, ESCAPE), shift + np.where(coarse, rest, 0)

    def count(self):
        context, token, _ = self.tokens()
        return np.bincount((context * 256 + token).ravel(), minlength=CONTEXTS * 256).reshape(CONTEXTS, 256)

    def choose_scales(self, price, reach):
        least = np.full(len(self.scale), np.inf)
        best = self.scale.copy()
        for step in range(-reach, reach + 1):
            context, token, raw = self.tokens(step)
            cost = (price[context, token] + raw).sum(1) + 0.01 * abs(step)
            best = np.where(cost < least, self.scale + step, best)
            least = np.minimum(cost, least)
        self.scale = best

    def cost(self, price):
        context, token, raw = self.tokens()
        return price[context, token].sum() + raw.sum()


def chunks_of(directory, pairs):
    for pair in pairs:
        base, child = (read_model(os.path.join(directory, name)) for name in pair.split(':'))
        for name, (dtype, shape, content) in child.items():
            other = base.get(name)
            if dtype not in LAYOUTS or other is None or other[:2] != (dtype, shape) or other[2] == content:
                continue
            for at in range(0, len(content), CHUNK):
                if len(content[at:at + CHUNK]) >= 1 << 17:
                    yield Chunk(content[at:at + CHUNK], other[2][at:at + CHUNK], dtype)


def smooth(counts, prior):
    """Probabilities of the tokens in each context."""
    f = counts.astype(float)
    for parity in (1, 2):                           # towards zero, away from it
        for c in range(CONTEXTS):
            source = f[c, parity:128:2].copy()
            for k in range(8, len(source)):
                w = k // 8
                f[c, parity + 2 * k] = source[max(0, k - w):k + w + 1].mean()
    g = f.copy()
    g[1:] += f[:-1] / 2
    g[:-1] += f[1:] / 2
    total = g.sum(1)
    common = [c for c in range(CONTEXTS) if total[c] >= 2000]
    if prior is not None:
        g += prior * 200
    for c in range(CONTEXTS):
        if prior is None and total[c] < 2000:
            g[c] = g[min(common, key=lambda k: abs(k - c))]
    p = (g + 1e-3) / (g + 1e-3).sum(1, keepdims=True)
    for c in range(common[0] - 1, -1, -1):
        p[c] = p[c + 1] * 2 ** (-1 / STEP)
        p[c, 0] = 1 - p[c, 1:].sum()
    return p


def train(chunks):
    prior = None
    for turn in range(5):
        price = np.full((CONTEXTS, 256), 8.0) if prior is None else -np.log2(prior)
        for chunk in chunks if prior is not None else []:
            chunk.choose_scales(price, 10 if turn == 1 else 6)
        prior = smooth(sum(chunk.count() for chunk in chunks), None)
    each = np.array([chunk.cost(-np.log2(prior)) / chunk.folded.size for chunk in chunks])
    shape = np.argsort(np.argsort(each)) * SHAPES // len(chunks)
    for turn in range(8):
        p = [smooth(sum((c.count() for c, s in zip(chunks, shape) if s == k), np.zeros((CONTEXTS, 256))), prior)
             for k in range(SHAPES)]
        shape = np.array([[c.cost(-np.log2(q)) for q in p] for c in chunks]).argmin(1)
        for c, s in zip(chunks, shape):
            c.choose_scales(-np.log2(p[s]), 3)
        print('turn', turn, 'chunks of each shape', np.bincount(shape, minlength=SHAPES), file=sys.stderr)
    return p


def weight_code(weight):
    """As in tables.c."""
    if weight < 16:
        return weight
    octave = weight.bit_length() - 1
    steps = (weight + (1 << (octave - 4))) >> (octave - 3)
    return 16 + (octave - 4) * 8 + steps - 8


def weights(p, most):
    """Weights of 4 x SLOTS in all, of the tokens up to most, each worth a slot at least, and of the escape."""
    weight = np.zeros(256, int)
    weight[:most + 1] = np.maximum(np.round(p[:most + 1] * 4 * SLOTS).astype(int), 4)
    weight[ESCAPE] = max(4, round(p[most + 1:].sum() * 4 * SLOTS))
    return weight


def cost_in_bits(p, most):
    weight = weights(p, most)
    share = -np.log2(np.maximum(weight, 1) / weight.sum())
    return (p[:most + 1] * share[:most + 1]).sum() + p[most + 1:].sum() * (share[ESCAPE] + 16)


def codes(p):
    """The codes of the escape and of as many tokens as pay, at least those of a change by one."""
    most = min(range(2, ESCAPE), key=lambda most: cost_in_bits(p, most))
    weight = weights(p, most)
    return [weight_code(int(w)) for w in [weight[ESCAPE], *weight[:most + 1]]]


def print_tables(p):
    print('/*\n * family_tables.h: made by test/lib/make_family.py, which says how. Part of the format.\n'
          ' *\n * Each row: how many codes follow, then the codes of tokens 255, 0, 1, 2 ...\n */')
    rows = [[codes(q[c]) for c in range(CONTEXTS)] for q in p]
    print('static const uint8_t family_codes[] = {')
    for k, shape in enumerate(rows):
        print('\t/* shape %d */' % k)
        for row in shape:
            text = ['%d' % n for n in [len(row)] + row]
            while text:
                line = []
                while text and len(', '.join(line + text[:1])) < 100:
                    line.append(text.pop(0))
                print('\t' + ', '.join(line) + ',')
    print('};')


print_tables(train(list(chunks_of(sys.argv[1], sys.argv[2:]))))
