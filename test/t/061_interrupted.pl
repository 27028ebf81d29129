# The client and the server are killed at random moments of a push and of a pull:
# nothing half is visible, and the same command again goes on and ends well, with the
# same bytes.
use strict;
use warnings;

use ClientTest;
use Digest::SHA qw(sha256_hex);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;
use Time::HiRes qw(time usleep);

# Not ignored, as they are for whoever runs tests in the background.
$SIG{$_} = 'DEFAULT' for qw(INT QUIT);

my $moments = 10;
my $node = client_node(sparse_node('interrupted'));
my $folder = PostgreSQL::Test::Utils::tempdir();
my $base = data_file('main-base');
my $model = data_file('main-finetune');
my $out = "$folder/out";
my ($part, $journal) = map { "$folder/.pg_sparse-" . substr(sha256_hex('out'), 0, 32) . ".$_" } qw(part journal);

$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->reload;

# Kills the server with all that belongs to it, and starts it again; mostly all but the
# postmaster, which then does that itself: it takes long until an orphan is gone.
sub kill_server
{
	my ($all) = @_;
	my ($postmaster) = split /\n/, read_whole($node->data_dir . '/postmaster.pid');
	my @children = split ' ', `ps -o pid= --ppid $postmaster`;
	if (!$all)
	{
		kill 'KILL', @children;
		for (1 .. 1200)
		{
			return if eval { psql_one('select 1') };
			usleep(10_000);
		}
		die 'the server does not come back';
	}
	kill 'KILL', $postmaster, @children;
	for (1 .. 1200)
	{
		last unless grep { kill 0, $_ } $postmaster, @children;
		usleep(10_000);
	}
	$node->kill9;    # so that it knows
	$node->start;
}

sub seconds_of
{
	my ($code) = @_;
	my $started = time;
	$code->();
	return time - $started;
}

# Kills what is given after a while, during a run; how the run ended.
sub interrupt_run
{
	my ($seconds, $kill, @arguments) = @_;
	my ($pid, undef, $err) = start_client(@arguments);
	usleep(1_000_000 * $seconds);
	$kill->($pid);
	waitpid $pid, 0;
	return ($?, read_whole($err));
}

my $kill_client = sub { kill 'KILL', $_[0] };
my $kills = 0;
my $kill_server = sub { kill_server(++$kills % 5 == 0) };

my @push = ('push', $model, 'tuned', '--parent', 'base', '-q');
my @pull = ('pull', 'tuned', '-o', $out, '-q');

sub forget_push
{
	psql_one(q{select sparse_drop(id) from sparse.version where name = 'tuned' and state = 'ready'});
	psql_one(q{select sparse_collect('0 seconds')});
}

client_works('a base is pushed', 'push', $base, 'base', '-q');
my %seconds;
$seconds{push} = seconds_of(sub { client_works('a push that nobody disturbs works', @push) });
$seconds{pull} = seconds_of(sub { client_works('a pull that nobody disturbs works', @pull) });
is_file($out, $model, '... and gives the file');
note(join ', ', map { sprintf '%s takes %.3f s', $_, $seconds{$_} } sort keys %seconds);

my ($broken, $with_rest) = (0, 0);
for my $case ([ 'client', $kill_client ], [ 'server', $kill_server ])
{
	my ($whom, $kill) = @$case;
	for my $moment (1 .. $moments)
	{
		my $after = $seconds{push} * ($moment - rand) / $moments;
		my $name = sprintf '%s killed after %.3f s of a push', $whom, $after;
		forget_push();
		my ($status) = interrupt_run($after, $kill, @push);
		$broken++ if $status != 0;
		my $ready = psql_one(q{select count(*) from sparse.version where name = 'tuned' and state = 'ready'});
		is(psql_one(q{select count(*) from sparse.version v, sparse_verify(v.id) where v.state = 'ready'}), '0',
			"$name: what is ready is whole");
		client_works("$name: the same command again works", @push);
		is( psql_one(q{select count(*) || ' ' || min(state) from sparse.version where name = 'tuned' and state <> 'dropped'}),
			'1 ready', '... there is one version');
		is(sha256_of_version($node, 'tuned'), sha256_of_file($model), '... which is the model');
	}
	for my $moment (1 .. $moments)
	{
		my $after = $seconds{pull} * ($moment - rand) / $moments;
		my $name = sprintf '%s killed after %.3f s of a pull', $whom, $after;
		unlink $out;
		my ($status) = interrupt_run($after, $kill, @pull);
		$broken++ if $status != 0;
		ok(!-e $out || sha256_of_file($out) eq sha256_of_file($model), "$name: no half file is in place");
		$with_rest++ if -e $part;
		client_works("$name: the same command again works", @pull);
		is_file($out, $model, '... and gives the file');
		leaves_nothing_beside($folder, '... alone');
	}
}

# ---- what chunks need comes again ----

psql_one(q{select sparse_approximate('tuned', 'bit1', name => 'near')});
my $near = psql_one(q{select encode(sha256, 'hex') from sparse_files('near')});
my @near = ('pull', 'near', '-o', $out, '-q', '--have', $base);
unlink $out;
$seconds{near} = seconds_of(sub { client_works('a pull of an approximation works', @near) });
for my $moment (1 .. $moments)
{
	my $after = $seconds{near} * ($moment - rand) / $moments;
	my $name = sprintf 'client killed after %.3f s of a pull of an approximation', $after;
	unlink $out;
	my ($status) = interrupt_run($after, $kill_client, @near);
	$broken++ if $status != 0;
	ok(!-e $out || sha256_of_file($out) eq $near, "$name: no half file is in place");
	client_works("$name: the same command again works", @near);
	is(sha256_of_file($out), $near, '... and gives the file');
	leaves_nothing_beside($folder, '... alone');
}

cmp_ok($broken, '>', $moments, 'most of these runs were broken');
cmp_ok($with_rest, '>', 0, 'and some left a part to go on with');

# ---- what a resumed pull believes ----

my $digest = sha256_of_file($model);
my $size = -s $model;
write_whole($part, "\0" x $size);
write_whole($journal, "pg_sparse 0 $digest $size\n0 1048576 0123456789abcdef\n1048576 99999999999999 0\n18446744073709551615 2 0\nrubbish\n5 ");
unlink $out;
client_works('a journal that tells lies is not believed', @pull);
is_file($out, $model, '... and the file is right');
unlink $out;
write_whole($part, 'of another file');
write_whole($journal, "pg_sparse 0 " . ('0' x 64) . " 15\n0 15 0\n");
client_works('the part of another file is no matter', @pull);
is_file($out, $model, '... and the file is right');
leaves_nothing_beside($folder, '... alone');

# ---- signals ----

# Not before the program listens to it, which on a busy machine takes long, or has ended.
sub interrupt
{
	my ($pid) = @_;
	for (1 .. 1200)
	{
		my $status = -r "/proc/$pid/status" ? read_whole("/proc/$pid/status") : 'State: Z';
		last if $status =~ /^State:\s*Z/m || $status =~ /^SigCgt:\s*([0-9a-f]+)/m && hex(substr $1, -2) & 2;
		usleep(10_000);
	}
	kill 'INT', $pid;
}

unlink $out;
my ($status, $words) = interrupt_run($seconds{pull} / 3, \&interrupt, 'pull', 'tuned', '-o', $out);
ok($status == 0 || ($status & 127) == 2 && $words =~ /goes on where it broke off/, 'a pull that is interrupted says how to go on')
  or diag("$status: $words");
forget_push();
($status, $words) = interrupt_run($seconds{push} / 3, \&interrupt, @push);
ok($status == 0 || ($status & 127) == 2 && $words =~ /goes on where it broke off/, 'a push that is interrupted says how to go on')
  or diag("$status: $words");
client_works('... and goes on', @push);

$node->stop;
my ($code, undef, $err) = client(@pull);
ok($code eq '5' && $err =~ /\Apg_sparse: error: [^\n]+\nhint: [^\n]+\n\z/, 'without a server there is an error of its own') or diag("$code $err");

done_testing();
