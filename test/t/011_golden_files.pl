# The golden files (test/golden/README.md) are as they were made; the delta files among them give
# back what they did; and an independent reader, written after docs/format.md and
# docs/delta-file.md alone, finds in them what those pages say.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir();
my @formats = sort { $a <=> $b } map { m{/(\d+)$} ? $1 : () } glob('test/golden/*');
is("@formats", join(' ', 1 .. $formats[-1]), 'there are golden files of every format');

# ---- as they were made ----

sub check_sums
{
	my ($golden) = @_;
	my %sum = reverse map { split /\s+/ } split /\n/, read_whole("$golden/SHA256SUMS");
	my @there = grep { $_ ne 'SHA256SUMS' } map { s{.*/}{}r } glob("$golden/*");
	is("@{[ sort keys %sum ]}", "@{[ sort @there ]}", "$golden: all files are listed");
	is(sha256_of_file("$golden/$_"), $sum{$_}, "$golden/$_ is as it was made") for sort @there;
	return;
}

# ---- an independent reader of heads ----

my @element_bytes = (1, 1, 1, 1, 2, 2, 4, 4, 8, 8, 1, 1, 2, 2, 4, 8);

# The fields of a delta's head, or nothing where it is none by docs/format.md.
sub read_head
{
	my ($delta) = @_;
	return if length $delta < 48;
	my %d;
	@d{qw(version predictor coding dtype refs parameters content hash prediction payload piece whole)} =
	  unpack 'C4 v2 Q<3 V2 Q<', $delta;
	return if $d{version} != ($d{predictor} == 11 || $d{coding} == 10 ? 2 : 1) || $d{predictor} > 11 || $d{coding} > ($d{version} == 1 ? 8 : 10) || $d{dtype} > 15 || $d{refs} > 16;
	return if ($d{refs} == 0) != ($d{predictor} == 0) || ($d{refs} == 0 && $d{prediction} != 0);
	return if length $delta != 48 + 24 * $d{refs} + $d{parameters} + $d{payload};
	return if $d{content} % $element_bytes[ $d{dtype} ] != 0 || $d{content} > 1 << 24;
	$d{references} = 0;
	for my $i (0 .. $d{refs} - 1)
	{
		my ($parent, $dtype, $zero, $zeros, $first, $count) = unpack 'v C C V Q<2', substr $delta, 48 + 24 * $i, 24;
		return if $dtype > 15 || $zero != 0 || $zeros != 0;
		$d{references} += $count * $element_bytes[$dtype];
	}
	return \%d;
}

# Parameters of a formula, in bytes, by the table of docs/format.md.
sub parameters_of
{
	my ($d, $delta) = @_;
	my $at = 48 + 24 * $d->{refs};
	return 8 + 8 * $d->{refs} if $d->{predictor} == 5;
	return 32 + (ord(substr $delta, $at, 1) & 8 ? unpack 'v', substr $delta, $at + 2, 2 : 0) if $d->{predictor} == 6;
	return 32 + 8 * ord(substr $delta, $at, 1) + unpack 'v', substr $delta, $at + 2, 2 if $d->{predictor} == 11;
	return { 7 => 32, 8 => 32, 9 => 16, 10 => 16 }->{ $d->{predictor} } // 0;
}

sub check_heads
{
	my ($golden) = @_;
	my $deltas = read_whole("$golden/deltas.bin");
	my @wrong;
	for my $line (split /\n/, read_whole("$golden/deltas.txt"))
	{
		my ($name, $predictor, $coding, $dtype, $content, undef, $at, $bytes, undef, $pieces) = split / /, $line;
		my $prediction = 0;
		$prediction += $_ for map { /:(\d+)/ } split /,/, $pieces;
		my $delta = substr $deltas, $at, $bytes;
		my $d = read_head($delta);
		push @wrong, $name
		  if !$d || "$predictor $coding $dtype $content $prediction" ne join ' ', @$d{qw(predictor coding dtype content references)}
		  or parameters_of($d, $delta) != $d->{parameters};
	}
	is("@wrong", '', "$golden: heads of deltas are as docs/format.md says");
	return;
}

# What is wrong with a delta file by docs/delta-file.md; nothing else.
sub problem_of
{
	my ($bytes) = @_;
	my ($magic, $version, $kind, $has_base, $zero, $child, $base) = unpack 'a7 C C C a6 Q<2', $bytes;
	return 'head' if $magic ne "\x93SPARSE" || $version != 1 || $kind > 1 || $has_base > 1 || $zero ne "\0" x 6;
	my ($at, $parts, $sum) = (72, 0, 0);
	while (substr($bytes, $at, 1) eq 'P')
	{
		my (undef, $what, $label, $zeros, $content, $split, $chunk, $first, $count) = unpack 'C C v V Q<5', substr $bytes, $at, 48;
		return 'part' if $what > 1 || $zeros != 0 || $split > $content || $first + $count > $base;
		$at += 48 + $label;
		my @lengths = map {
			my $run = $_;
			((($chunk) x int($run / $chunk)), $run % $chunk ? $run % $chunk : ())
		} ($split, $content - $split);
		for my $length (@lengths)
		{
			my $bytes_of_delta = unpack 'V', substr $bytes, $at, 4;
			my $d = read_head(substr $bytes, $at + 4, $bytes_of_delta);
			return 'chunk' if !$d || $d->{content} != $length;
			$at += 4 + $bytes_of_delta;
		}
		$parts++;
		$sum += $content;
	}
	my ($mark, $zeros, $count) = unpack 'a1 a7 Q<', substr $bytes, $at;
	return 'end' if $mark ne 'E' || $zeros ne "\0" x 7 || $count != $parts || $sum != $child || length $bytes != $at + 56;
	return '';
}

# ---- delta files ----

sub check_file
{
	my ($golden, $name, $base, $sha256) = @_;
	my $file = "$golden/$name";
	my $out = "$folder/out";
	my @base = $base eq '-' ? ('-') : ("$golden/$base");
	unlink $out;
	client_works("$file is read", 'reconstruct', '--quiet', @base, $file, '-o', $out);
	is(-e $out ? sha256_of_file($out) : 'nothing', $sha256, '... and is what it was');
	is(problem_of(read_whole($file)), '', '... its records are as docs/delta-file.md says');
	return;
}

sub refuses_other_versions
{
	my ($golden) = @_;
	my $bytes = read_whole("$golden/text-alone.sparse");
	substr $bytes, 7, 1, "\0";
	write_whole("$folder/old", $bytes);
	client_fails(7, 'format 0, which was given up', 'a delta file of format 0 is refused as such', 'reconstruct', '-', "$folder/old", '-o', "$folder/x");
	substr $bytes, 7, 1, "\x09";
	write_whole("$folder/new", $bytes);
	client_fails(7, 'format 9: it was made by a newer version', 'and one of a newer format', 'reconstruct', '-', "$folder/new", '-o', "$folder/x");
	return;
}

for my $format (@formats)
{
	my $golden = "test/golden/$format";
	check_sums($golden);
	check_heads($golden);
	# (a format of deltas that delta files do not have of themselves has none)
	check_file($golden, split / /, $_) for -e "$golden/files.txt" ? split /\n/, read_whole("$golden/files.txt") : ();
}
refuses_other_versions("test/golden/1");

done_testing();
