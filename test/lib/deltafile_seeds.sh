#!/usr/bin/env bash
# Writes the corpus of fuzz_deltafile: delta files against the fuzzer's base of
# pseudo-random bytes, and of small models, in the format that is written: their names end
# in it, those of format 1 stay as they are. To be run again when there is a new one:
#
#   make && bash test/lib/deltafile_seeds.sh test/fuzz/corpus/fuzz_deltafile

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
corpus=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The base of fuzz_deltafile.c, children of it, and a safetensors family of bf16.
perl -e '
    use integer;
    my ($work) = @ARGV;
    sub to_file { my ($name, $bytes) = @_; open my $f, ">:raw", "$work/$name" or die; print $f $bytes; close $f }
    sub noise {
        my ($bytes, $state, $out) = (@_, "");
        for (1 .. $bytes) { $state = $state * 6364136223846793005 + 1442695040888963407; $out .= chr(($state >> 56) & 255) }
        return $out;
    }
    sub model {
        my ($rows, @words) = @_;
        my $json = sprintf q({"w":{"dtype":"BF16","shape":[%d,32],"data_offsets":[0,%d]}}), $rows, 64 * $rows;
        return pack("Q<", length $json) . $json . pack("v*", @words);
    }
    my $base = noise(8192, 1);
    to_file("base", $base);
    to_file("same", $base);
    my $tuned = $base; substr($tuned, 100 * $_, 1) = "x" for 1 .. 40; to_file("bytes", $tuned);
    to_file("alone", noise(3000, 7));
    to_file("constant", "a" x 5000);
    to_file("empty", "");
    my @words = map { 0x3c00 + ($_ * 37) % 200 } 1 .. 32 * 20;
    to_file("model", model(20, @words));
    to_file("model-tuned", model(20, map { $_ + ($_ % 5 == 0) } @words));
    to_file("model-grown", model(24, @words, map { 0x3c10 + $_ % 90 } 1 .. 32 * 4));
' "$work"

seed() { ./pg_sparse compress --quiet "${@:2}" -o "$corpus/$1-2"; }
for child in same bytes constant empty; do seed "$child" "$work/base" "$work/$child"; done
for child in model-tuned model-grown; do seed "$child" "$work/model" "$work/$child"; done
seed alone --no-base "$work/alone"
seed model-alone --no-base "$work/model"
# several bases; a part that another is computed from: scales
python3 - "$work" <<'END'
import json, struct, sys
def model(name, tensors):
    entries, data = {}, b""
    for key, (dtype, shape, content) in tensors.items():
        entries[key] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    header = json.dumps(entries).encode()
    open(f"{sys.argv[1]}/{name}", "wb").write(struct.pack("<Q", len(header)) + header + data)
rows, columns = 64, 64
def noise(seed, scale):
    out, state = [], seed
    for _ in range(rows * columns):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2 ** 64
        out.append((state / 2 ** 64 - .5) * scale)
    return out
def floats(x): return struct.pack(f"<{len(x)}f", *x)
base, other = noise(1, 1), noise(2, 1)
mix = [struct.unpack("<f", struct.pack("<f", .75 * a + .25 * b))[0] for a, b in zip(base, other)]
scales, levels = [], []
for r in range(rows):
    row = base[r * columns:(r + 1) * columns]
    scale = struct.unpack("<f", struct.pack("<f", max(map(abs, row)) / 127))[0]
    scales.append(scale)
    levels += [max(-127, min(127, round(x / scale))) for x in row]
one = lambda x: {"w": ("F32", [rows, columns], floats(x))}
model("m-base", one(base)); model("m-other", one(other)); model("m-mix", one(mix))
model("m-int8", {"w": ("I8", [rows, columns], struct.pack(f"<{len(levels)}b", *levels)), "w_scale": ("F32", [rows, 1], floats(scales))})
END
seed mix "$work/m-base" "$work/m-mix" --parent "$work/m-other"
seed int8 "$work/m-base" "$work/m-int8"
