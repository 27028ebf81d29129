# What the tests of pg_sparse against a server share: running it, and models to push.
package ClientTest;

use strict;
use warnings;

use Exporter 'import';
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

our @EXPORT = qw(client_node client start_client client_works client_fails client_json client_receives
  write_whole read_whole is_file leaves_nothing_beside write_model write_shards psql_one);

my $node;

# The server that the runs talk to from now on.
sub client_node
{
	($node) = @_;
	# whose log would hold every delta
	$node->append_conf('postgresql.conf', 'log_statement = none');
	$node->reload;
	$ENV{PGHOST} = $node->host;
	$ENV{PGPORT} = $node->port;
	$ENV{PGDATABASE} = 'postgres';
	return $node;
}

sub write_whole
{
	my ($path, $bytes) = @_;
	open my $file, '>:raw', $path or die "$path: $!";
	print {$file} $bytes;
	close $file or die "$path: $!";
	return $path;
}

sub read_whole
{
	my ($path) = @_;
	open my $file, '<:raw', $path or die "$path: $!";
	local $/;
	return scalar <$file>;
}

# Starts pg_sparse; the process, and the files that its output goes to.
sub start_client
{
	my (@arguments) = @_;
	our ($number, $seconds);
	my $base = PostgreSQL::Test::Utils::tempdir() . '/run-' . ++$number;
	write_whole("$base.$_", '') for qw(out err);    # it may be killed before it has opened them
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		alarm($seconds // 120);    # survives exec: what hangs fails
		open STDIN, '<', '/dev/null' or die;
		open STDOUT, '>', "$base.out" or die;
		open STDERR, '>', "$base.err" or die;
		my $program = $ENV{PG_SPARSE} // 'pg_sparse';
		exec $program, @arguments or die "$program: $!";
	}
	return ($pid, "$base.out", "$base.err");
}

# Runs it: its exit code (or signal), standard output and standard error.
sub client
{
	my ($pid, $out, $err) = start_client(@_);
	waitpid $pid, 0;
	return (($? & 127) ? 'signal ' . ($? & 127) : $? >> 8, read_whole($out), read_whole($err));
}

# It ends well, and says nothing on standard error but notes. Returns standard output.
sub client_works
{
	my ($name, @arguments) = @_;
	my ($code, $out, $err) = client(@arguments);
	ok($code eq '0' && $err !~ /error:/, $name) or diag("pg_sparse @arguments: exit $code: $err");
	return $out;
}

# It fails with that code, in one line of error and at most one hint.
sub client_fails
{
	my ($expected, $words, $name, @arguments) = @_;
	my ($code, $out, $err) = client(@arguments);
	my $good = $code eq $expected && $err =~ /^pg_sparse: error: [^\n]*$words[^\n]*\n(hint: [^\n]+\n)?\z/m;
	ok($good, $name) or diag("pg_sparse @arguments: exit $code, expected $expected with /$words/: $err");
	return;
}

# Its answer, as JSON.
sub client_json
{
	my ($name, @arguments) = @_;
	my $out = client_works($name, @arguments, '--json');
	my $answer = eval { decode_json($out) };
	ok(defined $answer, '... in JSON') or diag("$@: $out");
	return $answer;
}

# Passes on what two sockets say to each other; the bytes that the second said.
sub pass_on
{
	my ($client, $server) = @_;
	my %other = ($client => $server, $server => $client);
	my $select = IO::Select->new($client, $server);
	my $received = 0;
	while (my @ready = $select->can_read)
	{
		for my $from (@ready)
		{
			my $got = sysread $from, my $bytes, 1 << 16;
			return $received if !$got;
			$received += $got if $from == $server;
			my $to = $other{$from};
			my $at = 0;
			while ($at < $got)
			{
				my $put = syswrite $to, $bytes, $got - $at, $at;
				return $received if !$put;
				$at += $put;
			}
		}
	}
	return $received;
}

# Takes connections for the server, and tells the pipe what came back over each.
sub relay
{
	my ($listener, $peer, $counts) = @_;
	$SIG{$_} = 'DEFAULT' for qw(TERM INT);
	$SIG{$_} = 'IGNORE' for qw(CHLD PIPE);
	alarm 120;
	while (my $client = $listener->accept)
	{
		next if fork() != 0;
		my $server = IO::Socket::UNIX->new(Peer => $peer) or POSIX::_exit(1);
		syswrite $counts, pass_on($client, $server) . "\n";
		POSIX::_exit(0);
	}
	POSIX::_exit(0);
}

# It works, by way of somebody who counts: the bytes that came from the server.
sub client_receives
{
	my ($name, @arguments) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir_short();
	my $listener = IO::Socket::UNIX->new(Local => "$folder/.s.PGSQL.$ENV{PGPORT}", Listen => 8) or die "$folder: $!";
	pipe my $counted, my $counts or die "pipe: $!";
	my $pid = fork() // die "fork: $!";
	relay($listener, "$ENV{PGHOST}/.s.PGSQL.$ENV{PGPORT}", $counts) if $pid == 0;
	close $counts;
	{
		local $ENV{PGHOST} = $folder;
		client_works($name, @arguments);
	}
	kill 'TERM', $pid;
	waitpid $pid, 0;
	my $received = 0;
	$received += $_ while <$counted>;
	return $received;
}

sub is_file
{
	my ($path, $source, $name) = @_;
	my $same = -e $path && sha256_of_file($path) eq sha256_of_file($source);
	ok($same, $name) or diag("$path is not $source");
	return;
}

# No part or journal is left in a folder.
sub leaves_nothing_beside
{
	my ($folder, $name) = @_;
	my @left = glob("$folder/.*pg_sparse*");
	ok(!@left, $name) or diag("left: @left");
	return;
}

sub psql_one { return $node->safe_psql('postgres', $_[0]) }

# A safetensors file of these tensors: name, dtype, shape (text), bytes.
sub write_model
{
	my ($path, @tensors) = @_;
	my ($at, @header) = (0);
	for my $tensor (@tensors)
	{
		my ($name, $dtype, $shape, $bytes) = @$tensor;
		push @header, sprintf '"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}',
		  $name, $dtype, $shape, $at, $at + length $bytes;
		$at += length $bytes;
	}
	my $header = '{' . join(',', @header) . '}';
	return write_whole($path, join '', pack('Q<', length $header), $header, map { $_->[3] } @tensors);
}

# A folder as Hugging Face tools write it: two shards of some bytes of a data file, their
# index, and files beside them. `change` alters the weights, as a fine-tune would.
sub write_shards
{
	my ($folder, $change) = @_;
	my $unit = substr read_whole(data_file('mini-base')), -262_144;
	$unit ^= ($change ? ("\1" . "\0" x 15) x (1 << 14) : '');
	mkdir $folder or die "$folder: $!";
	write_model("$folder/model-00001-of-00002.safetensors", [ 'a.weight', 'BF16', '256,512', $unit ], [ 'empty', 'F32', '0,4', '' ]);
	write_model("$folder/model-00002-of-00002.safetensors", [ 'b.weight', 'BF16', '512,256', $unit ^ ("\2\0" x (1 << 17)) ]);
	write_whole("$folder/model.safetensors.index.json",
		'{"metadata": {"total_size": 524288}, "weight_map": {"a.weight": "model-00001-of-00002.safetensors",'
		  . ' "empty": "model-00001-of-00002.safetensors", "b.weight": "model-00002-of-00002.safetensors"}}');
	write_whole("$folder/config.json", '{"hidden_size": 512}');
	write_whole("$folder/generation_config.json", '{}');
	write_whole("$folder/tokenizer.json", '{"tokens": [' . join(',', map { qq("t$_") } 1 .. 20_000) . ']}');
	write_whole("$folder/empty.txt", '');
	mkdir "$folder/more";
	write_whole("$folder/more/notes.txt", "notes\n");
	return $folder;
}

1;
