# Behind a pooler that gives a session to another client after each transaction, all of
# pg_sparse works, and leaves nothing in the session.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
plan skip_all => 'pgbouncer is not installed' if !$pgbouncer;

my $node = client_node(sparse_node('pooler'));
my $folder = PostgreSQL::Test::Utils::tempdir();
my $sockets = PostgreSQL::Test::Utils::tempdir_short();
my ($host, $port) = ($node->host, $node->port);
my $user = getpwuid($<);

write_whole("$sockets/pgbouncer.ini", <<"END");
[databases]
postgres = host=$host port=$port dbname=postgres user=$user
[pgbouncer]
listen_addr =
unix_socket_dir = $sockets
listen_port = $port
auth_type = any
pool_mode = transaction
default_pool_size = 1
logfile = $sockets/log
pidfile = $sockets/pid
END
my $pid = fork() // die "fork: $!";
if ($pid == 0)
{
	open STDERR, '>', "$sockets/err";
	exec $pgbouncer, '-q', "$sockets/pgbouncer.ini" or die;
}
for (1 .. 100) { last if -S "$sockets/.s.PGSQL.$port"; select undef, undef, undef, 0.1 }

# Of the one session behind the pooler: what the next client would get.
my $before = through_pooler('show search_path; show datestyle; show transaction_read_only');

sub through_pooler
{
	my ($sql) = @_;
	my $out = '';
	PostgreSQL::Test::Utils::run_log([ 'psql', '-XAtq', '-h', $sockets, '-c', join('', $sql) ], '>', \$out);
	return $out;
}

sub leaves_no_trace
{
	my ($name) = @_;
	local $ENV{PGHOST} = $sockets;
	is(through_pooler('show search_path; show datestyle; show transaction_read_only'), $before, "... and $name leaves no settings");
	is(through_pooler("select count(*) from pg_prepared_statements where name not like 'S\\_%'"), "0\n", '... no prepared statements');
	is(through_pooler("select count(*) from pg_locks where locktype = 'advisory'"), "0\n", '... no locks');
}

my ($base, $model, $out) = (data_file('main-base'), data_file('main-finetune'), "$folder/out");
# more than a batch of incompressible deltas
my $blob = write_whole("$folder/blob", pack('L*', map { int rand 2**32 } 1 .. 3_000_000));
{
	local $ENV{PGHOST} = $sockets;
	client_works('a push of several batches', 'push', $blob, 'blob', '--as-bytes', '-q');
	leaves_no_trace('a push');
	client_works('a push on several connections, of which the pooler has one', 'push', $base, 'base', '-q', '-j', 3);
	client_works('a push of deltas', 'push', $model, 'tuned', '--parent', 'base', '--have', $base, '-q', '-j', 2);
	client_works('a pull', 'pull', 'tuned', '-o', $out, '--have', $base, '-q', '-j', 2);
	is_file($out, $model, '... gives the file');
	leaves_no_trace('a pull');
	client_works('pull of the blob', 'pull', 'blob', '-o', "$folder/blob2", '-q');
	is_file("$folder/blob2", $blob, '... gives it');
	client_works("$_->[0] works", @$_)
	  for [ 'log' ], [ 'show', 'tuned', '--all' ], [ 'diff', 'base', 'tuned' ], [ 'tree', 'tuned' ], [ 'tag', 'tuned', 'best' ],
	  [ 'savings' ], [ 'verify', 'tuned' ], [ 'rm', 'blob' ], [ 'gc' ];
	leaves_no_trace('the rest');
	local $ENV{PGOPTIONS} = '-c work_mem=1MB';
	client_fails(5, 'unsupported startup parameter', 'settings of a session are refused, with a hint', 'log');
}
kill 'TERM', $pid;
waitpid $pid, 0;
$node->stop;
done_testing();
