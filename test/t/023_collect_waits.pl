# A collection that waits for an import which is left idle does not make others wait behind it.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = sparse_node('collect_waits');
import_file($node, 'dropped', 'mini-base');
$node->safe_psql('postgres', "select sparse_drop('dropped')");

# A psql that is fed by and by.
sub session
{
	my %session = (in => '', out => '', err => '');
	$session{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$session{in}, '>', \$session{out}, '2>', \$session{err}, IPC::Run::timeout(120));
	return \%session;
}

sub say_and_see
{
	my ($session, $statement, $seen) = @_;
	$session->{in} .= "$statement\n";
	$session->{run}->pump until $session->{out} =~ $seen || $session->{err} =~ /ERROR/;
}

my $idle = session();
say_and_see($idle, "begin; select sparse_commit_rows('idle', 'select 1 as x') > 0;", qr/t/);
my $collector = session();
$collector->{in} .= "select versions from sparse_collect();\n";
$collector->{run}->pump_nb for 1 .. 3;
$node->poll_query_until('postgres', "select count(*) = 1 from pg_stat_activity where query like '%sparse_collect()%' and state = 'active' and pid <> pg_backend_pid()");

my ($status, $out, $err) = $node->psql('postgres',
	"set statement_timeout = '10s'; select count(sparse_commit_rows('other' || i, 'select ' || (i + 100) || ' as x')) from generate_series(1, 20) i");
is($err, '', 'others write while a collection waits for an import that is idle');
is($collector->{out}, '', 'the collection waits');

say_and_see($idle, "commit; select 'done';", qr/done/);
$collector->{run}->pump until $collector->{out} =~ /\d/ || $collector->{err} =~ /ERROR/;
is($collector->{out}, "1\n", 'it collects when the import has ended');
for ($idle, $collector)
{
	$_->{in} .= "\\q\n";
	$_->{run}->finish;
}

$node->stop;
done_testing();
