#!/usr/bin/env bash
# Writes the corpus of fuzz_deltafile: delta files against the fuzzer's base of
# pseudo-random bytes, and of small models. To be run again whenever a format
# changes, for the old seeds then end at the first check:
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

seed() { ./pg_sparse compress --quiet "$@"; }
for child in same bytes constant empty; do seed "$work/base" "$work/$child" -o "$corpus/$child"; done
for child in model-tuned model-grown; do seed "$work/model" "$work/$child" -o "$corpus/$child"; done
seed --no-base "$work/alone" -o "$corpus/alone"
seed --no-base "$work/model" -o "$corpus/model-alone"
