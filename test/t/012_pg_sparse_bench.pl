# pg_sparse bench and estimate on files, without a server: bench prints a line for
# each codec, whose round trips it has compared; an estimate is near what compress
# writes; a wrong command line ends with exit code 2.
use strict;
use warnings;

use File::Temp;
use JSON::PP;
use Test::More;

my $program = $ENV{PG_SPARSE} // (-x './pg_sparse' ? './pg_sparse' : 'pg_sparse');
my $data = $ENV{SPARSE_TEST_DATA} // 'test/data';
my $directory = File::Temp->newdir();

sub model { return $_[0] eq '-' ? '-' : "$data/$_[0].safetensors" }
sub scratch { return "$directory/$_[0]" }

sub read_whole
{
	my ($path) = @_;
	open my $file, '<:raw', $path or die "$path: $!";
	local $/;
	return scalar <$file>;
}

# Runs pg_sparse: its exit code (or signal), standard output and standard error.
sub run_program
{
	my (@arguments) = @_;
	my ($out, $err) = (scratch('stdout'), scratch('stderr'));
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open STDOUT, '>', $out or die;
		open STDERR, '>', $err or die;
		exec $program, @arguments or die "$program: $!";
	}
	waitpid $pid, 0;
	return (($? & 127) ? "signal " . ($? & 127) : $? >> 8, read_whole($out), read_whole($err));
}

# Whether the run fails with that code, in one line of error and at most one hint.
sub fails_with
{
	my ($expected, $words, $name, @arguments) = @_;
	my ($code, $out, $err) = run_program(@arguments);
	my $good = $code eq $expected && $err =~ /\Apg_sparse: error: [^\n]*$words[^\n]*\n(hint: [^\n]+\n)?\z/;
	ok($good, $name) or diag("exit $code, expected $expected with /$words/: $err");
	return;
}

# ---- bench ----

# Runs it for one round; the rows by their names, undef if anything is not as it ought to be.
sub bench
{
	my ($name, $child, @arguments) = @_;
	my ($code, $out, $err) = run_program('bench', '--rounds', '1', @arguments);
	my ($header, @lines) = split /\n/, $out;
	my $good = $code eq '0' && $err eq '' && ($header // '') eq "name\tbytes\tfraction\tencode MB/s\tdecode MB/s";
	my %row;
	for my $line (@lines)
	{
		$good &&= $line =~ /\A([a-z0-9-]+)\t([0-9]+)\t([0-9]\.[0-9]{4})\t([0-9]+\.[0-9])\t([0-9]+\.[0-9])\z/;
		$row{$1} = {bytes => $2, fraction => $3, encode => $4, decode => $5} if $good;
		$good &&= abs($2 / (-s model($child)) - $3) < 0.0001;
	}
	ok($good, $name) or diag("exit $code: $out$err");
	return \%row;
}

my $row = bench('bench prints a header and rows that agree with the size of the child',
	'mini-finetune', model('mini-base'), model('mini-finetune'));
is_deeply(
	[sort grep { !/^sparse-/ } keys %$row],
	[qw(bitx fm-delta memcpy planes-zstd3 tensorx)],
	'... one for each peer');
ok($row->{'sparse-portable'}, '... and one for the portable loops');
my %sizes = map { $row->{$_}{bytes} => 1 } grep { /^sparse-/ } keys %$row;
is(keys %sizes, 1, '... whose size is that of every other instruction set');
my @slow = grep { $row->{$_}{encode} <= 0 || $row->{$_}{decode} <= 0 } keys %$row;
ok(!@slow, '... each with its speeds') or diag("@slow");
my @smaller = grep { !/^sparse-/ && $row->{$_}{bytes} <= $row->{'sparse-portable'}{bytes} } keys %$row;
ok(!@smaller, 'no peer makes a fine-tune smaller than sparse does') or diag("@smaller");

# Of an independent implementation over the same files, in numpy and zstd.
my %found = (bitx => .3587, tensorx => .3363, 'fm-delta' => .2860);
for my $name (sort keys %found)
{
	cmp_ok(abs($row->{$name}{fraction} - $found{$name}), '<', .002, "$name has the size that others have found");
}

bench("bench measures $_->[1]", $_->[1], model($_->[0]), model($_->[1]))
  for (
	['mini-base-fp16', 'mini-finetune-fp16'],
	['mini-base-fp32', 'mini-finetune-fp32'],
	['mini-base', 'mini-longer-vocabulary'],
	['mini-base', 'mini-base-int8']);

$row = bench('bench measures a child alone', 'mini-base', '--no-base', model('mini-base'));
is_deeply([sort grep { !/^sparse-/ } keys %$row], [qw(memcpy planes-zstd3)], '... beside what needs no parent');
bench('a base of - is none', 'mini-base', '-', model('mini-base'));

my $header = 8 + unpack 'Q<', read_whole(model('mini-base'));
$row = bench('bench measures a child that is its base', 'mini-base', model('mini-base'), model('mini-base'));
my @dear = grep { $row->{$_}{bytes} != $header } keys %$row;
ok(!@dear, '... of which nothing but the header costs anything') or diag("@dear");

# ---- estimate ----

# Runs it; the answer, with the bytes that compress writes among it.
sub estimate
{
	my ($base, $child, @arguments) = @_;
	my $delta = scratch('delta');
	run_program('compress', model($base), model($child), '-o', $delta);
	my ($code, $out, $err) = run_program('estimate', model($base), model($child), '--json', @arguments);
	my $answer = eval { decode_json($out) } // {};
	diag("exit $code: $out$err") if $code ne '0' || $err ne '' || !%$answer;
	return {%$answer, compressed => -s $delta};
}

sub is_near
{
	my ($answer, $within, $name) = @_;
	my $error = abs(($answer->{estimated_bytes} // 0) / $answer->{compressed} - 1);
	cmp_ok($error, '<=', $within, $name);
	return;
}

my %tensors = (
	'main-base main-finetune' => [7, 22, 0],
	'mini-base mini-finetune' => undef,
	'mini-base mini-finetune-strong' => undef,
	'mini-base mini-finetune-light' => undef,
	'mini-finetune mini-chain-1' => undef,
	'mini-chain-1 mini-chain-2' => undef,
	'mini-base-fp16 mini-finetune-fp16' => [0, 11, 0],
	'mini-base-fp32 mini-finetune-fp32' => [0, 11, 0],
	'mini-base mini-longer-vocabulary' => [3, 8, 0],
	'mini-base mini-base-int8' => [3, 0, 16],
	'mini-base mini-lora-adapter' => [0, 0, 10],
	'mini-base mini-base' => [11, 0, 0],
	'- main-base' => [0, 0, 29]);

for my $pair (sort keys %tensors)
{
	my ($base, $child) = split ' ', $pair;
	my $answer = estimate($base, $child);
	is_near($answer, 0.05, "the estimate of $child against $base is near what compress writes");
	is_deeply([@{ $answer->{tensors} }{qw(same predicted unpredicted)}], $tensors{$pair}, '... and counts its tensors')
	  if $tensors{$pair};
}

for my $pair (['main-base', 'main-finetune'], ['-', 'main-base'])
{
	my ($base, $child) = @$pair;
	my $answer = estimate($base, $child, '--sample', '2');
	is_near($answer, 0.1, "a sample of 2 MiB of $child against $base comes near as well");
	cmp_ok($answer->{read_fraction}, '<', 1, '... and says that it has not read all');
}

open my $file, '>:raw', scratch('empty') or die $!;
close $file;
my ($code, $out) = run_program('estimate', scratch('empty'), scratch('empty'));
ok($code eq '0' && $out =~ /^estimated\s+\d+ bytes/m, 'an empty file has an estimate');
($code, $out) = run_program('estimate', model('mini-base'), model('mini-finetune'));
like($out, qr/\Atensors\s+\d+ same, \d+ predicted, \d+ unpredicted\nread\s+\d+ of \d+ bytes \([01]\.\d{4}\)\n/,
	'an estimate in words says what it has found, and what it has read');
like($out, qr/^estimated\s+\d+ bytes, 0\.\d{4} of the child\ntime\s+\d+\.\d+ s\n\z/m, '... and its answer');

# ---- wrong command lines ----

my ($usage, $failed) = (2, 1);
for my $command (qw(bench estimate))
{
	fails_with($usage, 'got 0 arguments', "$command wants operands", $command);
	fails_with($usage, 'got 1 arguments', "$command wants a base", $command, model('mini-base'));
	fails_with($usage, 'got 2 arguments', "$command wants one operand without a base",
		$command, '--no-base', model('mini-base'), model('mini-finetune'));
	fails_with($usage, 'unknown option', "$command knows its options",
		$command, '--fast', model('mini-base'), model('mini-finetune'));
	fails_with($failed, 'could not open', "$command tells of a missing file",
		$command, model('mini-base'), scratch('missing'));
	($code, $out) = run_program($command, '--help');
	ok($code eq '0' && $out =~ /Usage:/, "$command --help helps");
}
fails_with($usage, 'number from 1', "--rounds takes a number, not $_", 'bench', "--rounds=$_", model('mini-base'), model('mini-finetune'))
  for ('0', 'many', '-3', '5x', '');
fails_with($usage, 'number of MiB', "--sample takes a number, not $_", 'estimate', "--sample=$_", model('mini-base'), model('mini-finetune'))
  for ('0', 'all', '99999999999999999999');
fails_with($usage, 'needs a value', '--rounds needs a value', 'bench', model('mini-base'), model('mini-finetune'), '--rounds');
fails_with($failed, 'no safetensors, GGUF or PyTorch file', 'bench wants a model', 'bench', '--no-base', scratch('empty'));

done_testing();
