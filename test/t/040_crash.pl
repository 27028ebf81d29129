# The server is killed in the middle of an import, or of a commit of rows, at several
# moments: what was ready before can be read after the restart, nothing of the import or
# commit is visible, and it can be collected and repeated.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;
use Time::HiRes qw(usleep);

my $node = sparse_node('crash');
# (effort 1: each object is a tensor's or a file's, none a factor)
$node->append_conf('postgresql.conf', "restart_after_crash = on\nsparse.effort = 1");
$node->reload;
my $folder = PostgreSQL::Test::Utils::tempdir();
my $large = "$folder/large.safetensors";

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A model of some tensors of a few MiB, each the data file's bytes in another guise.
# Returns the SHA-256 of the tensors in the order in which they are stored: ascending.
sub write_large_model
{
	my $bytes = 2 << 20;
	my $content = substr slurp_file(data_file('main-base')), -$bytes;
	my $tensors = 12;
	my @tensor = map { $content ^ pack('v', $_) x ($bytes / 2) } 1 .. $tensors;
	my $header = '{' . join(',', map {
		sprintf '"layer.%d":{"dtype":"BF16","shape":[1024,1024],"data_offsets":[%d,%d]}',
		  $_, $_ * $bytes, ($_ + 1) * $bytes } 0 .. $tensors - 1) . '}';
	open my $file, '>:raw', $large or die "$large: $!";
	print $file pack('Q<', length $header), $header, @tensor;
	close $file or die "$large: $!";
	return sort map { sha256_hex($_) } @tensor;
}

my @stored_in_order = write_large_model();
import_file($node, 'base', 'mini-base');
import_file($node, 'child', 'mini-finetune', 'base');
my %sha256 = (base => sha256_of_file(data_file('mini-base')), child => sha256_of_file(data_file('mini-finetune')));

sub start_statement
{
	my ($statement) = @_;
	my ($out, $err) = ('', '');
	return IPC::Run::start(
		[
			'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
			"$statement /* to be killed */"
		],
		'<', \undef, '>', \$out, '2>', \$err);
}

sub start_import { return start_statement("select sparse_import_file('large', '$large', '{child}')") }

sub importing_backend
{
	return sql(q{select pid from pg_stat_activity where query like '%/* to be killed */%' and pid <> pg_backend_pid()});
}

sub chunk_bytes { return sql(q{select pg_total_relation_size('sparse.chunk_0')}) }

# A session that stops the import at a certain point: by holding a lock that it needs.
sub start_holder
{
	my ($statement) = @_;
	my ($in, $out, $err) = ("begin; $statement; select 'held';\n", '', '');
	my $holder = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], \$in, \$out, \$err);
	$holder->pump until $out =~ /held/ || $err ne '';
	die $err if $err ne '';
	return $holder;
}

# Takes the place of the object whose row is the import's number $number, so that it waits for it. (All rows come before any content.)
sub instead_of_object
{
	my ($number) = @_;
	return "insert into sparse.object (place, id, sha256, dtype, bytes, chunk_bytes) values (0, -1, '\\x$stored_in_order[$number]', 'BF16', 2, 2)";
}

# Lets the import stop at a chunk: a trigger counts them, and wants a lock at the right one.
sql(q{
	create sequence chunks_written;
	create table stop_at (chunk bigint);
	insert into stop_at values (0);
	-- the trigger runs as the owner of the store
	grant select on stop_at to public;
	grant usage on sequence chunks_written to public;
	create function stop_at_chunk() returns trigger language plpgsql as $$
	begin
		if nextval('public.chunks_written') = (select chunk from public.stop_at) then
			perform pg_advisory_xact_lock_shared(42);
		end if;
		return new;
	end $$;
	create trigger stop before insert on sparse.chunk_0 for each row execute function stop_at_chunk();
});

sub at_chunk
{
	my ($number) = @_;
	return "update stop_at set chunk = $number; select setval('chunks_written', 1, false); commit; begin; select pg_advisory_xact_lock(42)";
}

sub wait_until_stopped
{
	return $node->poll_query_until('postgres', q{
		select exists (select from pg_locks l join pg_stat_activity a using (pid)
		               where not l.granted and a.query like '%/* to be killed */%' and a.pid <> pg_backend_pid())});
}

sub check_store
{
	my ($when) = @_;
	is(sha256_of_version($node, $_), $sha256{$_}, "$when: $_ can be read") for sort keys %sha256;
	is(sql('select string_agg(name, \' \' order by name) from sparse.version'), 'base child', "$when: nothing of the import is visible");
	is( sql('select count(*) from sparse.object o where not exists (select from sparse.file f where f.object = o.id)
		and not exists (select from sparse.tensor t where t.object = o.id)
		and not exists (select from sparse.column_chunk c where o.id = any (c.object))'),
		'0', "$when: not even an object");
}

my $kill_backend = sub {
	my $pid = importing_backend();
	kill 'KILL', $pid or die "kill $pid: $!";
	for (1 .. 600)
	{
		# (of a backend that was killed the entry stays until the server has started anew)
		return if eval { importing_backend() eq '' };
		usleep(50_000);
	}
	die 'the server does not come back';
};
# Kills the postmaster, and the backend that imports, if there is one: the others end
# when they notice. The server cannot start again before all of them are gone.
sub kill_server
{
	my @left = split /\n/, sql('select pid from pg_stat_activity');
	my $importing = importing_backend();
	push @left, split(/\n/, slurp_file($node->data_dir . '/postmaster.pid'), 2);
	pop @left;
	$node->kill9;
	kill 'KILL', $importing if $importing ne '';
	for (1 .. 600)
	{
		@left = grep { kill 0, $_ } @left or last;
		usleep(50_000);
	}
	die "processes are left: @left" if @left;
	$node->start;
}
my $kill_server = \&kill_server;
my $stop_at_once = sub {
	$node->stop('immediate');
	$node->start;
};

for my $case (
	[ 'at its first object', instead_of_object(0), 0, $kill_server ],
	[ 'at its eighth object', instead_of_object(8), 0, $kill_backend ],
	[ 'after six chunks', at_chunk(7), 2, $kill_backend ],
	[ 'after sixteen chunks', at_chunk(17), 5, $stop_at_once ],
	[ 'before its tensors are listed', 'lock table sparse.tensor in share mode', 8, $kill_server ])
{
	my ($when, $hold, $mebibytes, $kill) = @$case;
	my $before = chunk_bytes();
	my $holder = start_holder($hold);
	my $import = start_import();
	ok(wait_until_stopped(), "killed $when: an import was under way");
	cmp_ok(chunk_bytes() - $before, '>=', $mebibytes << 20, "killed $when: it had written $mebibytes MiB");
	$kill->();
	$import->finish;
	$holder->kill_kill;
	check_store("killed $when");
}

# and wherever it just is
for my $milliseconds (20, 100, 200)
{
	my $import = start_import();
	usleep(1000 * $milliseconds);
	$stop_at_once->();
	$import->finish;
	last if sql('select count(*) from sparse.version') > 2;
	check_store("killed after $milliseconds ms");
}
sql("select sparse_drop(id) from sparse.version where name = 'large'");

ok(sql('select sparse_collect() is not null'), 'the store can be collected');
is(sha256_of_version($node, $_), $sha256{$_}, "collected: $_ can be read") for sort keys %sha256;

sql("select sparse_import_file('large', '$large', '{child}')");
is(sha256_of_version($node, 'large'), sha256_of_file($large), 'the same import then succeeds');
is(sql("select count(*) from sparse.version v, sparse_verify(v.id) where v.state = 'ready'"), '0', 'and no version has a problem');

kill_server();
is(sha256_of_version($node, 'large'), sha256_of_file($large), 'what was committed survives another crash');

# ---- commits of rows ----

sql(q{
	create type mood as enum ('sad', 'ok', 'happy');
	create type point3 as (x float8, y int, felt mood);
	create domain positive as int check (value > 0);
	create table held (id int, felt mood, at point3, size positive, r int8range, digest bytea);
	insert into held select i, (enum_range(null::mood))[1 + i % 3], row(i / 3.0, i, 'ok')::point3, i + 1, int8range(i, i + 5), sha256(i::text::bytea) from generate_series(1, 30000) i;
	select sparse_commit_rows('held', 'select * from held order by id', key => '{id}');
	update held set felt = 'ok', digest = sha256(digest) where id > 10000;
	select sparse_commit_rows('held', 'select * from held order by id', 'held', '{id}');
	select sparse_tag('held', 'good');
});
my %rows = map { $_ => rows_of($_) } qw(held@1 held@2);
my $chunks = sql('select sum(cardinality(object)) from sparse.column_chunk');

# The rows of a dataset, in their order.
sub rows_of
{
	my ($version) = @_;
	return sql("select md5(string_agg(r::text, '|' order by n)) from
		(select r, row_number() over () as n from (select sparse_rows_as(null::held, '$version') as r offset 0) x) y");
}

# A third version, of which one row waits for whoever holds advisory lock 43.
my $commit = q{select sparse_commit_rows('held', 'select id, felt, at, size, r, digest,
	case when id = 20000 then pg_advisory_xact_lock_shared(43)::text end as waited from held order by id desc', 'held', '{id}')};

sub check_rows
{
	my ($when) = @_;
	is(rows_of($_), $rows{$_}, "$when: $_ is whole") for sort keys %rows;
	is(sql('select count(*) from sparse.version v, sparse_verify_rows(v.id) where kind = \'dataset\''), '0', "$when: no column has a problem");
	is( sql(q{select (select count(*) from sparse.version where name = 'held') || ' ' || (select sum(cardinality(object)) from sparse.column_chunk) || ' ' ||
		(select count(*) from sparse.split) || ' ' || (select count(*) from sparse.column) || ' ' || (select count(*) from sparse.tag where name = 'held')}),
		"2 $chunks 2 12 1", "$when: nothing of the commit is visible");
	is( sql('select count(*) from sparse.object o where not exists (select from sparse.file f where f.object = o.id)
		and not exists (select from sparse.tensor t where t.object = o.id)
		and not exists (select from sparse.column_chunk c where o.id = any (c.object))'),
		'0', "$when: not even an object");
	is(sql('select count(*) from pg_ls_tmpdir()'), '0', "$when: no temporary file is left");
}

for my $case (
	[ 'while its query runs', 'select pg_advisory_xact_lock(43)', $kill_backend ],
	[ 'at its first chunk', at_chunk(1), $stop_at_once ],
	[ 'at its ninth chunk', at_chunk(9), $kill_backend ],
	[ 'before its splits are listed', 'lock table sparse.split in share mode', $kill_server ],
	[ 'before its chunks are listed', 'lock table sparse.column_chunk in share mode', $kill_backend ])
{
	my ($when, $hold, $kill) = @$case;
	my $holder = start_holder($hold);
	my $committing = start_statement($commit);
	ok(wait_until_stopped(), "killed $when: a commit was under way");
	$kill->();
	$committing->finish;
	$holder->kill_kill;
	check_rows("killed $when");
}

sql($commit);
is(sql("select count(*) from sparse_row_diff('held\@2', 'held\@3', by => '{id}')"), '1', 'the same commit then succeeds, with the rows that it should have: in one there is something in the added column');
sql('select sparse_drop(\'held@2\'); select sparse_collect()');
kill_server();
is(rows_of('held@1'), $rows{'held@1'}, 'what is left survives another crash');
is(sql("select sparse_row('held', '20000') ->> 'digest' = (select to_jsonb(digest) #>> '{}' from held where id = 20000)"), 't', 'and so does what was committed');

$node->stop;
done_testing();
