# A repack that is cancelled, or whose server is killed, in the middle of a move: what it
# had moved stays moved, the rest is as it was, everything can be read, and the next repack
# goes on from there.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;
use Time::HiRes qw(usleep);

my $node = sparse_node('care_crash');
# (what is computed from several parents, as checkpoints in a direction are, keeps its depth: docs/care.md)
$node->append_conf('postgresql.conf', 'sparse.effort = 1');
$node->reload;
sub sql { return $node->safe_psql('postgres', $_[0]) }

my @family = (
	[ 'base', 'mini-base' ], [ 'strong', 'mini-finetune-strong', 'base' ], [ 'light', 'mini-finetune-light', 'strong' ],
	[ 'late', 'mini-chain-2', 'light' ], [ 'grown', 'mini-longer-vocabulary', 'late' ]);
my %sha256;
for (@family)
{
	my ($name, $file, @parents) = @$_;
	import_file($node, $name, $file, @parents);
	$sha256{$name} = sha256_of_file(data_file($file));
}

sub deep { return sql('select count(*) from sparse.object where depth > 0') }

sub check_store
{
	my ($when) = @_;
	is(sha256_of_version($node, $_), $sha256{$_}, "$when: $_ can be read") for sort keys %sha256;
	is(sql('select count(*) from sparse.version v, sparse_verify(v.id)'), '0', "$when: no version has a problem");
	is( sql('select count(*) from sparse.object o where sha256 is null
		or stored_bytes <> (select sum(octet_length(sdelta_send(c.delta))) from sparse.chunk c where c.object = o.id)
		or depth <> (select coalesce(max(parent_depth) + 1, 0) from sparse.object_parent p where p.object = o.id)'),
		'0', "$when: every object is whole");
	is( sql('select count(*) from sparse.version v
		where stored_bytes <> (select sum(stored_bytes) from sparse.object o where o.version = v.id)'),
		'0', "$when: counters agree");
}

# Another session holds the edge of an object of tensor number $number of those that are left,
# counted from 0 in the order of their names. So the move of an object that it hangs on, or
# its own, stops when its new chunks are written and the old ones gone.
sub hold_edge
{
	my ($number) = @_;
	my ($in, $out) = ("begin; select 'held' from sparse.object_parent where object =
		(select max(o.id) from sparse.object o join sparse.tensor t on t.object = o.id where t.name =
		 (select t.name from sparse.object o join sparse.tensor t on t.object = o.id
		  where o.depth > 0 group by 1 order by 1 offset $number limit 1)) for update;\n", '');
	my $holder = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], \$in, \$out, '2>&1');
	$holder->pump until $out =~ /held|ERROR/;
	return $holder;
}

sub repacking_backend
{
	return sql(q{select pid from pg_stat_activity where query like 'call sparse_repack%' and pid <> pg_backend_pid()});
}

sub start_repack
{
	my ($out, $err) = ('', '');
	my $repack = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "call sparse_repack('base', 0)" ],
		'<', \undef, '>', \$out, '2>', \$err);
	$node->poll_query_until('postgres', q{
		select exists (select from pg_locks l join pg_stat_activity a using (pid)
		               where not l.granted and a.query like 'call sparse_repack%' and a.pid <> pg_backend_pid())})
	  or die 'the repack does not stop';
	return $repack;
}

sub kill_server
{
	my @left = split /\n/, sql('select pid from pg_stat_activity where pid <> pg_backend_pid()');
	my $repacking = repacking_backend();
	push @left, split(/\n/, slurp_file($node->data_dir . '/postmaster.pid'), 2);
	pop @left;
	$node->kill9;
	kill 'KILL', $repacking;
	for (1 .. 600)
	{
		@left = grep { kill 0, $_ } @left or last;
		usleep(50_000);
	}
	die "processes are left: @left" if @left;
	$node->start;
}

check_store('before');
for my $case (
	[ 'cancelled', 1, sub { sql('select pg_cancel_backend(' . repacking_backend() . ')') } ],
	[ 'terminated', 1, sub { sql('select pg_terminate_backend(' . repacking_backend() . ')') } ],
	[ 'killed', 2, \&kill_server ],
	[ 'stopped at once', 1, sub { $node->stop('immediate'); $node->start } ])
{
	my ($when, $number, $end) = @$case;
	my $before = deep();
	my $holder = hold_edge($number);
	my $repack = start_repack();
	$end->();
	eval { $repack->kill_kill };
	eval { $holder->kill_kill };
	$node->poll_query_until('postgres', q{select not exists (select from pg_stat_activity where query ~ '^(call sparse_repack|begin; select ''held)' and pid <> pg_backend_pid())});
	my $after = deep();
	cmp_ok($after, '<', $before, "$when: what was moved before stays moved");
	cmp_ok($after, '>', 0, "$when: not all was");
	check_store($when);
}

sql(q{call sparse_repack('base', 0)});
is(deep(), '0', 'the next repack does the rest');
check_store('finished');
sql(q{call sparse_repack('base')});
cmp_ok(deep(), '>', 0, 'and another one packs it again');
check_store('packed again');
ok(sql('select objects = 0 from sparse_collect()') eq 't', 'nothing was left behind');

$node->stop;
done_testing();
