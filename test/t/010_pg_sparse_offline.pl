# pg_sparse compress, reconstruct and info on files, without a server: what comes
# back is the child, byte for byte; a wrong base or a damaged delta file is refused
# by its exit code and leaves nothing behind.
use strict;
use warnings;

use Config;
use Digest::SHA;
use File::Basename qw(dirname);
use File::Temp;
use JSON::PP;
use POSIX ();
use Test::More;

# Whoever runs tests in the background has the terminal's signals ignored, and so would each program below.
$SIG{$_} = 'DEFAULT' for qw(INT QUIT);

my $program = $ENV{PG_SPARSE} // (-x './pg_sparse' ? './pg_sparse' : 'pg_sparse');
my $data = $ENV{SPARSE_TEST_DATA} // 'test/data';
my $directory = File::Temp->newdir();

# Exit codes: the command line's contract.
my ($failed, $usage, $wrong_base, $damaged) = (1, 2, 3, 4);

sub model { return "$data/$_[0].safetensors" }
sub scratch { return "$directory/$_[0]" }

sub read_whole
{
	my ($path) = @_;
	open my $file, '<:raw', $path or die "$path: $!";
	local $/;
	return scalar <$file>;
}

sub write_whole
{
	my ($path, $bytes) = @_;
	open my $file, '>:raw', $path or die "$path: $!";
	print {$file} $bytes;
	close $file or die "$path: $!";
	return $path;
}

sub sha256 { return Digest::SHA->new(256)->addfile($_[0], 'b')->hexdigest }

# Runs pg_sparse: its exit code (or signal), standard output and standard error.
sub run_program
{
	my (@arguments) = @_;
	my ($out, $err) = (scratch('stdout'), scratch('stderr'));
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		alarm 60;			# survives exec: what hangs fails
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
	my ($code, $words, $name, @arguments) = @_;
	my ($got, $out, $err) = run_program(@arguments);
	my $good = $got eq $code && $err =~ /\Apg_sparse: error: [^\n]*$words[^\n]*\n(hint: [^\n]+\n)?\z/;
	ok($good, $name) or diag("exit $got, expected $code with /$words/: $err");
	return;
}

# Nothing of an output is left: neither it nor a temporary file beside it.
sub leaves_nothing
{
	my ($path, $name) = @_;
	my @left = glob(dirname($path) . '/.pg_sparse.*');
	ok(!-e $path && !@left, $name) or diag("left: $path @left");
	return;
}

# Compresses, reconstructs, compares; returns the fraction of the child that was stored.
sub round_trips
{
	my ($base, $child, $name) = @_;
	my ($delta, $again) = (scratch('delta'), scratch('again'));
	my @base = defined $base ? ($base) : ('--no-base');
	unlink $delta, $again;
	my ($code, $out, $err) = run_program('compress', @base, $child, '-o', $delta);
	($code, $out, $err) = run_program('reconstruct', @base, $delta, '-o', $again) if $code eq '0';
	ok($code eq '0' && $err eq '' && sha256($again) eq sha256($child), $name) or diag("exit $code: $err");
	return (-s $delta) / ((-s $child) || 1);
}

sub at_most
{
	my ($fraction, $limit, $name) = @_;
	cmp_ok($fraction, '<=', $limit, $name);
	return;
}

# ---- every kind of child comes back ----

my %at_most = (
	'main-base main-finetune' => 0.225,
	'mini-base mini-finetune' => 0.240,
	'mini-base mini-finetune-strong' => 0.345,
	'mini-base mini-finetune-light' => 0.080,
	'mini-finetune mini-chain-1' => 0.240,
	'mini-chain-1 mini-chain-2' => 0.220,
	'mini-base-fp16 mini-finetune-fp16' => 0.420,
	'mini-base-fp32 mini-finetune-fp32' => 0.610,
	'mini-base mini-longer-vocabulary' => 0.250,
	'mini-base mini-base-fp32' => 1,
	'mini-base mini-base-int8' => 1,
	'mini-base mini-lora-adapter' => 1,
	'mini-base mini-base' => 0.001);

for my $pair (sort keys %at_most)
{
	my ($base, $child) = split ' ', $pair;
	my $fraction = round_trips(model($base), model($child), "$child comes back from its delta against $base");
	at_most($fraction, $at_most{$pair}, "... which takes at most $at_most{$pair} of it");
}

at_most(round_trips(undef, model('mini-base'), 'mini-base comes back without a base'),
	0.690, '... from at most .690 of it');

# ---- files that are no models, or odd ones ----

my $text = join '', map { "line $_ of a table, $_\n" } 1 .. 200_000;
my $edited = $text;
substr $edited, 1_000_000, 0, "an inserted line\n";
write_whole(scratch('text'), $text);
write_whole(scratch('edited'), $edited);
write_whole(scratch('empty'), '');

at_most(round_trips(scratch('text'), scratch('edited'), 'any file comes back from a delta against any other'),
	0.01, '... small when they are alike');
round_trips(model('mini-base'), scratch('text'), 'a text comes back from a delta against a model');
round_trips(scratch('text'), model('mini-base'), 'a model comes back from a delta against a text');
round_trips(scratch('text'), scratch('empty'), 'an empty file comes back');
round_trips(scratch('empty'), scratch('text'), 'a file comes back from a delta against an empty one');
round_trips(undef, scratch('empty'), 'an empty file comes back without a base');

# A safetensors file of entries [name, dtype, shape, bytes].
sub safetensors
{
	my ($path, $padding, @tensors) = @_;
	my ($offset, $bytes, @entries) = (0, '');
	for my $tensor (@tensors)
	{
		my ($name, $dtype, $shape, $content) = @$tensor;
		my $end = $offset + length $content;
		push @entries, qq("$name":{"shape":$shape,"data_offsets":[$offset,$end],"dtype":"$dtype"});
		$bytes .= $content;
		$offset = $end;
	}
	my $header = '{' . join(',', @entries) . '}' . ' ' x $padding;
	return write_whole($path, pack('Q<', length $header) . $header . $bytes);
}

my @odd = (
	['nan', 'F32', '[4]', pack('L<*', 0x7fc00001, 0xffc12345, 0x80000000, 0x7f800001)],
	['empty', 'BF16', '[0,7]', ''],
	['scalar', 'F64', '[]', pack('d<', -0.0)],
	['odd', 'F4', '[5]', 'abc'],
	["\xC3\xA9\\u0041", 'I8', '[3]', 'xyz'],
	['flags', 'BOOL', '[2,3]', "\0\1\0\1\1\0"]);
my @odd_child = map { [@$_] } @odd;
$odd_child[0][3] = pack('L<*', 0x7fc00002, 0xffc12345, 0, 0xff800001);
$odd_child[3] = ['odd', 'F4', '[7]', 'abcd'];
splice @odd_child, 2, 1;

round_trips(
	safetensors(scratch('odd.safetensors'), 13, @odd),
	safetensors(scratch('odd-child.safetensors'), 0, @odd_child),
	'NaNs, minus zeros, empty tensors, scalars, unknown dtypes and paddings come back');
safetensors(scratch('none.safetensors'), 5);
round_trips(scratch('odd.safetensors'), scratch('none.safetensors'), 'a model without tensors comes back');

my $broken = write_whole(scratch('broken.safetensors'), substr read_whole(model('mini-base')), 0, 100_000);
my ($code, $out, $err) = run_program('compress', model('mini-base'), $broken, '-o', scratch('delta'));
ok( $code eq '0' && $err =~ /\Apg_sparse: warning: [^\n]*taken as bytes: [^\n]+\n\z/,
	'a safetensors file that is none is taken as bytes, with a warning that says why') or diag($err);
($code) = run_program('reconstruct', model('mini-base'), scratch('delta'), '-o', scratch('again'));
ok($code eq '0' && sha256(scratch('again')) eq sha256($broken), '... and comes back');

# ---- info ----

my $delta = scratch('finetune.delta');
run_program('compress', model('mini-base'), model('mini-finetune'), '-o', $delta);

($code, $out) = run_program('info', $delta, '--json');
my $info = eval { decode_json($out) } // {};
is($code, 0, 'info reads a delta file');
is($info->{child_sha256}, sha256(model('mini-finetune')), '... and knows the sha256 of the child');
is($info->{base_sha256}, sha256(model('mini-base')), '... and of the base');
is($info->{file_bytes}, -s $delta, '... and the bytes that are stored');
is($info->{child_bytes}, -s model('mini-finetune'), '... and those of the child');
my $content = 0;
$content += $_->{content_bytes} for grep { !$_->{factor} } @{ $info->{parts} };
is($content, $info->{child_bytes}, '... whose parts, but factors, add up to it');
($code, $out) = run_program('info', $delta, '--tensors');
like($out, qr/model\.embed_tokens\.weight\n/, 'info lists the tensors');

# ---- what is refused ----

my $target = scratch('refused');
run_program('compress', '--no-base', scratch('edited'), '-o', scratch('alone'));
fails_with($wrong_base, 'is not the base', 'a wrong base of another length is refused',
	'reconstruct', model('mini-base-fp16'), $delta, '-o', $target);
my $other = read_whole(model('mini-base'));
substr $other, -1, 1, chr(ord(substr $other, -1) ^ 1);
write_whole(scratch('other'), $other);
fails_with($wrong_base, 'is not the base', 'a base with one bit changed is refused',
	'reconstruct', scratch('other'), $delta, '-o', $target);
fails_with($wrong_base, 'needs the base', 'a missing base is refused', 'reconstruct', '--no-base', $delta, '-o', $target);
fails_with($wrong_base, 'needs the base', '... also when it is "-"', 'reconstruct', '-', $delta, '-o', $target);
fails_with($wrong_base, 'needs no base', 'a base that the delta file was not made against is not ignored',
	'reconstruct', model('mini-base'), scratch('alone'), '-o', $target);
fails_with($wrong_base, 'needs no base', '... even when it is missing', 'reconstruct', 'no-such-file', scratch('alone'), '-o', $target);
fails_with($damaged, 'not a delta file', 'what is no delta file is refused',
	'reconstruct', model('mini-base'), model('mini-finetune'), '-o', $target);
fails_with($damaged, 'not a delta file', '... by info as well', 'info', model('mini-finetune'));
leaves_nothing($target, 'none of them leaves an output');

fails_with($failed, 'could not open', 'a missing file is an error', 'compress', 'no-such-file', model('mini-base'), '-o', $target);
fails_with($failed, 'not a regular file', 'a directory is an error', 'compress', "$directory", model('mini-base'), '-o', $target);
POSIX::mkfifo(scratch('fifo'), 0600) or die "mkfifo: $!";
fails_with($failed, 'not a regular file', 'a FIFO as base is an error, and not waited for',
	'compress', scratch('fifo'), model('mini-base'), '-o', $target);
fails_with($failed, 'not a regular file', '... as child as well', 'compress', model('mini-base'), scratch('fifo'), '-o', $target);
fails_with($failed, 'not a regular file', '... and as delta file', 'reconstruct', model('mini-base'), scratch('fifo'), '-o', $target);
fails_with($failed, 'could not create', 'a missing directory for the output is an error',
	'compress', model('mini-base'), model('mini-base'), '-o', scratch('no/such/directory'));
fails_with($failed, 'not a regular file', 'a device is not replaced by the output',
	'compress', model('mini-base'), model('mini-base'), '-o', '/dev/null');
fails_with($usage, 'both read and to be written', 'an input is not overwritten',
	'compress', scratch('text'), scratch('edited'), '-o', scratch('edited'));
fails_with($usage, 'no command', 'no command is an error of usage');
fails_with($usage, 'no command "frobnicate"', 'an unknown command is an error of usage', 'frobnicate');
fails_with($usage, 'unknown option', 'an unknown option is an error of usage', 'compress', '--frobnicate', 'a', 'b', '-o', 'c');
fails_with($usage, 'needs a value', 'an option without its value is an error of usage', 'compress', 'a', 'b', '-o');
fails_with($usage, 'BASE and CHILD', 'a missing operand is an error of usage', 'compress', 'a', '-o', 'b');
fails_with($usage, '-o DELTA is missing', 'a missing output is an error of usage', 'compress', 'a', 'b');
leaves_nothing($target, 'none of them leaves an output');

for my $command ([ 'info', $delta ], [ 'info', $delta, '--json' ], ['--help'], [ 'compress', '--help' ], [ 'estimate', '--no-base', $delta ])
{
	system 'bash', '-c', '"$@" >/dev/full 2>/dev/null', 'bash', $program, @$command;
	is($? >> 8, $failed, "what $command->[0] cannot print is an error");
}

for my $command ([], ['compress'], ['reconstruct'], ['info'])
{
	($code, $out, $err) = run_program(@$command, '--help');
	ok($code eq '0' && $out =~ /Usage:/ && $err eq '', join ' ', 'pg_sparse', @$command, '--help', 'helps');
}

# ---- damage ----

run_program('compress', scratch('odd.safetensors'), scratch('odd-child.safetensors'), '-o', scratch('small'));
my $small = read_whole(scratch('small'));
my $hurt = scratch('hurt');
my @survived;
my %codes;

sub refuses_hurt
{
	my ($bytes, $what) = @_;
	write_whole($hurt, $bytes);
	my ($code) = run_program('reconstruct', scratch('odd.safetensors'), $hurt, '-o', $target);
	$codes{$code}++;
	push @survived, $what if -e $target || glob("$directory/.pg_sparse.*") || $code !~ /^[347]$/;
	return;
}

# Every record is hit; fuzz_deltafile tries the bytes in between.
refuses_hurt(substr($small, 0, $_), "cut at $_") for grep { $_ % 5 == 0 } 0 .. length($small) - 1;
ok(!@survived, 'a delta file cut anywhere is refused') or diag("@survived");
@survived = ();
for my $at (grep { $_ % 3 == 0 } 0 .. length($small) - 1)
{
	my $flipped = $small;
	substr $flipped, $at, 1, chr(ord(substr $flipped, $at, 1) ^ (1 << $at % 8));
	refuses_hurt($flipped, "flipped at $at");
}
ok(!@survived, 'a delta file with a bit flipped anywhere is refused') or diag("@survived");
# (where a version is hit, it is one of a newer format)
is(join(' ', grep { $_ ne 7 } sort keys %codes), $damaged, '... with the exit code for damage');
@survived = ();
refuses_hurt($small . "\0", 'one byte more');
refuses_hurt($small . $small, 'twice');
ok(!@survived, 'a delta file that goes on behind its end is refused');

my $large = read_whole($delta);
@survived = ();
for my $at (map { int $_ * length($large) / 23 } 1 .. 22)
{
	my $flipped = $large;
	substr $flipped, $at, 1, chr(ord(substr $flipped, $at, 1) ^ 16);
	write_whole($hurt, $flipped);
	my ($code) = run_program('reconstruct', model('mini-base'), $hurt, '-o', $target);
	push @survived, $at if $code ne $damaged || -e $target;
	for my $form ('--json', '--tensors')
	{
		my ($code, $out) = run_program('info', $hurt, $form);
		push @survived, "$at by info" if $code ne $damaged || $out ne '';
	}
}
ok(!@survived, "a real model's delta file is refused with a bit flipped anywhere, by info as well, which prints nothing of it") or diag("@survived");

# ---- several parents, and what is computed from them ----

my %of_several = (
	'mini-lora-merged mini-base' => 0.030,
	'mini-lora-merged mini-base mini-lora-adapter' => 0.001,
	'mini-merge-linear mini-finetune mini-finetune-strong' => 0.001,
	'mini-merge-slerp mini-finetune mini-finetune-strong' => 0.004,
	'mini-finetune-pruned mini-finetune' => 0.001,
	'mini-base-int8 mini-base' => 0.002,
	'mini-base-fp32 mini-base' => 0.502);
for my $names (sort keys %of_several)
{
	my ($child, $base, @others) = split ' ', $names;
	my @parents = map { ('--parent', model($_)) } @others;
	unlink scratch('several'), scratch('again');
	my ($code, $out, $err) = run_program('compress', model($base), model($child), @parents, '-o', scratch('several'));
	is("$code$err", '0', "$child is compressed against @{[ join ' and ', $base, @others ]}");
	($code, $out, $err) = run_program('reconstruct', model($base), scratch('several'), (map { ("--parent", model($_)) } reverse @others), '-o', scratch('again'));
	ok($code eq '0' && sha256(scratch('again')) eq sha256(model($child)), '... and comes back, whatever their order') or diag("exit $code: $err");
	at_most((-s scratch('several')) / (-s model($child)), $of_several{$names}, '... and takes what an import takes');
}
run_program('compress', model('mini-finetune'), model('mini-merge-linear'), '--parent', model('mini-finetune-strong'), '-o', scratch('several'));
fails_with(3, 'needs another file', 'a parent that is missing is asked for', 'reconstruct', model('mini-finetune'), scratch('several'), '-o', scratch('again'));
fails_with(3, 'needs no', 'one too many is refused', 'reconstruct', model('mini-finetune'), scratch('several'), '--parent', model('mini-finetune-strong'),
	'--parent', model('mini-base'), '-o', scratch('again'));

# ---- the output appears whole or not at all ----

write_whole($target, 'what was there before');
fails_with($damaged, 'truncated', 'a failure is told', 'reconstruct', model('mini-base'),
	write_whole($hurt, substr $large, 0, -1), '-o', $target);
is(read_whole($target), 'what was there before', '... and leaves what stood at the output before');
($code) = run_program('reconstruct', model('mini-base'), $delta, '-o', $target);
is(sha256($target), sha256(model('mini-finetune')), '... which success replaces');
unlink $target;

# A child that takes a while, so that something can happen when its output is begun.
write_whole(scratch('large'), pack('L<*', map { int rand 2**32 } 1 .. 250_000) x 100);

# Starts pg_sparse and waits until its output is begun: its process id, or undef.
sub begin_program
{
	my (@arguments) = @_;
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open STDERR, '>', scratch('stderr') or die;
		exec $program, @arguments or die "$program: $!";
	}
	for (1 .. 2000)
	{
		my @begun = glob "$directory/.pg_sparse.*";
		return $pid if @begun;
		select undef, undef, undef, 0.002;
	}
	kill 'KILL', $pid;
	return;
}

for my $signal (qw(INT QUIT TERM HUP XCPU ALRM USR1 USR2))
{
	my $pid = begin_program('compress', '--no-base', scratch('large'), '-o', $target);
	ok($pid, 'the output is begun under a temporary name') or next;
	kill $signal, $pid;
	waitpid $pid, 0;
	my ($number) = grep { (split ' ', $Config{sig_name})[$_] eq $signal } 0 .. 64;
	is($? & 127, $number, "SIG$signal ends the program by that signal");
	leaves_nothing($target, '... and removes what was begun');
}

# Runs pg_sparse under a limit of the shell.
sub run_limited
{
	my ($limit, @arguments) = @_;
	my $err = scratch('stderr');
	system 'bash', '-c', 'limit=$1 err=$2; shift 2; ulimit -c 0; ulimit $limit; exec "$@" 2>"$err"', 'bash',
		$limit, $err, $program, @arguments;
	return (($? & 127) ? "signal " . ($? & 127) : $? >> 8, read_whole($err));
}

($code, $err) = run_limited('-f 100', 'compress', '--no-base', scratch('large'), '-o', $target);
ok($code eq $failed && $err =~ /could not write "[^"]*": File too large/, 'a limit on the size of files is an error')
	or diag("exit $code: $err");
leaves_nothing($target, '... and removes what was begun');

# Changes a file while it is read; a byte that was read already would go unseen otherwise.
sub refuses_change
{
	my ($changed, $name, @arguments) = @_;
	my $pid = begin_program(@arguments, '-o', $target);
	open my $file, '+<:raw', $changed or die "$changed: $!";
	syswrite $file, "\xA5";
	close $file;
	waitpid $pid, 0;
	my $words = read_whole(scratch('stderr'));
	ok($? >> 8 == $failed && $words =~ /changed while it was read/, $name) or diag("status $?: $words");
	leaves_nothing($target, '... and leaves no output');
	return;
}

write_whole(scratch('large-base'), read_whole(scratch('large')));
run_program('compress', scratch('large-base'), scratch('large'), '-o', scratch('large-delta'));
refuses_change(scratch('large-base'), 'a base that changes while it is rebuilt from is an error',
	'reconstruct', scratch('large-base'), scratch('large-delta'));
refuses_change(scratch('large-base'), 'a base that changes while it is compared with is an error',
	'compress', scratch('large-base'), scratch('large'));
refuses_change(scratch('large'), 'a child that changes while it is compressed is an error',
	'compress', scratch('large-base'), scratch('large'));

done_testing();
