# What the tests of pg_sparse serve share: a hub before the server, requests to it, and npm's clients.
package HubTest;

use strict;
use warnings;

use ClientTest;
use Exporter 'import';
use File::Copy;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes 'usleep';

our @EXPORT = qw(start_hub stop_hub kill_hub hub_log http get_json http_is curl npm_clients run_script talk);

my ($pid, $err, $url);

# Starts it with these options on a port of its own; its address.
sub start_hub
{
	local $ClientTest::seconds = 1200;
	($pid, undef, $err) = start_client('serve', '--listen', '127.0.0.1:0', @_);
	for (1 .. 600)
	{
		last if read_whole($err) =~ /listening on (\S+)\n/ && ($url = "http://$1");
		usleep 50_000;
	}
	return $url // die 'the hub does not start: ' . read_whole($err);
}

# Its exit code.
sub stop_hub
{
	kill 'TERM', $pid;
	waitpid $pid, 0;
	return $?;
}

sub kill_hub
{
	kill 'KILL', $pid;
	waitpid $pid, 0;
	return;
}

sub hub_log { return read_whole($err) }

# The answer of HTTP::Tiny; headers as a hash.
sub http
{
	my ($method, $path, $headers, $content) = @_;
	my $client = HTTP::Tiny->new(max_redirect => 0, timeout => 120);
	return $client->request($method, $path =~ /^http/ ? $path : "$url$path",
		{ headers => $headers // {}, defined $content ? (content => $content) : () });
}

sub get_json
{
	my ($name, $path, $headers) = @_;
	my $answer = http('GET', $path, $headers);
	is($answer->{status}, 200, $name) or diag("$path: $answer->{status} $answer->{content}");
	return eval { decode_json($answer->{content}) } // {};
}

# It is answered with that status, and the error by which clients know it.
sub http_is
{
	my ($status, $code, $name, @request) = @_;
	my $answer = http(@request);
	my $good = $answer->{status} == $status && ($answer->{headers}{'x-error-code'} // '') eq ($code // '');
	ok($good, $name) or diag("@request[0, 1]: $answer->{status} " . ($answer->{headers}{'x-error-code'} // '') . " $answer->{content}");
	return $answer;
}

# curl's exit code and standard output.
sub curl
{
	my ($path, @options) = @_;
	my $out = PostgreSQL::Test::Utils::tempdir() . '/curl';
	my $status = system('curl', '-s', '-o', $out, @options, "$url$path");
	return ($status >> 8, read_whole($out));
}

# What comes back for these bytes, on a connection of their own, until it ends.
sub talk
{
	my ($bytes) = @_;
	my ($address) = $url =~ m{//(.*)};
	my $socket = IO::Socket::INET->new(PeerAddr => $address, Timeout => 30) or die "connect: $!";
	local $SIG{ALRM} = sub { close $socket };
	alarm 60;
	print {$socket} $bytes;
	local $/;
	my $answer = <$socket> // '';
	alarm 0;
	return $answer;
}

# A folder with the packages of test/hub in it, or undef where npm has none to give.
sub npm_clients
{
	my $folder = PostgreSQL::Test::Utils::tempdir() . '/npm';
	mkdir $folder;
	my ($source) = __FILE__ =~ m{(.*)/lib/};
	copy($_, $folder) or die "$_: $!" for glob "$source/hub/*";
	local $ENV{npm_config_cache} = "$folder/cache";
	local $ENV{HOME} = $folder;
	system("cd '$folder' && timeout 180 npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=1 > npm.log 2>&1") == 0 and return $folder;
	diag(read_whole("$folder/npm.log"));
	return undef;
}

# Runs a script of it with node; its exit code and standard output.
sub run_script
{
	my ($folder, $script, @arguments) = @_;
	my $out = PostgreSQL::Test::Utils::tempdir() . '/node';
	my $child = fork() // die "fork: $!";
	if ($child == 0)
	{
		alarm 300;
		open STDOUT, '>', $out or die;
		open STDERR, '>', "$out.err" or die;
		chdir $folder or die;
		exec 'node', $script, @arguments or die "node: $!";
	}
	waitpid $child, 0;
	my $code = $?;
	diag(read_whole("$out.err")) if $code != 0;
	return ($code, read_whole($out));
}

1;
