# A store is dumped and restored like any other tables: in one job or in four, with its
# policies, grants, triggers and sequences, and every version in it can be read.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = sparse_node('dump');
my $folder = PostgreSQL::Test::Utils::tempdir();

sub sql
{
	my ($statement, $database) = @_;
	return $node->safe_psql($database // 'postgres', $statement);
}

# ---- a store with versions, tombstones, grants and policies ----

import_file($node, 'base', 'mini-base');
import_file($node, 'child', 'mini-finetune', 'base');
import_file($node, 'grown', 'mini-longer-vocabulary', 'base');
import_file($node, 'gone', 'mini-chain-1', 'child');
import_file($node, 'grandchild', 'mini-chain-2', 'gone');
sql(q{
	insert into sparse.quota values ('*', 100, null, null);
	select sparse_tag('base', 'production'), sparse_tag('child', 'production');
	select sparse_drop('gone');
	select sparse_approximate('child', 'bit1');
	select sparse_write(sparse_begin('upload', jsonb_build_array(
		jsonb_build_object('path', 'a', 'size', 3, 'sha256', encode(sha256('one'), 'hex')),
		jsonb_build_object('path', 'b', 'size', 3, 'sha256', encode(sha256('two'), 'hex')))), null, 0, 'one', 'a');
	create type mood as enum ('sad', 'ok', 'happy');
	create type point3 as (x float8, y int, felt mood);
	create domain tagged as point3;
	create domain positive as int check (value > 0);
	create type moods as range (subtype = mood);
	create table held as select i as id, (enum_range(null::mood))[1 + i % 3] as felt, row(i / 3.0, i, 'ok')::point3 as at,
		array[row(i, 1, 'sad')::tagged, null] as path, (i + 1)::positive as size, moods('sad', 'happy') as span, int8range(i, i + 5) as r, repeat('text ' || i, i % 7) as t
	from generate_series(1, 2000) i;
	select sparse_commit_rows('held', 'select * from held order by id desc', key => '{id}');
	update held set felt = 'ok', size = size + 1 where id % 100 = 0;
	select sparse_commit_rows('held', 'select * from held order by id desc', 'held', '{id}');
	create role reader;
	create role writer;
	grant usage on schema sparse to reader, writer;
	grant select on sparse.version, sparse.file, sparse.parent, sparse.savings to reader;
	grant select, insert (id, kind, name, revision, family, created_by, message, metadata) on sparse.version to writer;
	alter table sparse.version enable row level security;
	create policy visible on sparse.version for select to reader using (name <> 'base');
	create policy new on sparse.version for insert to writer with check (name like 'writer/%');
	create policy every on sparse.version for select to writer using (true);
});

# What psql's \d family shows of the schema, and more: a line per property. Without the
# parentheses of constraints: "a between 1 and 2 and b" loses a pair when it is read back.
sub catalog
{
	my ($database) = @_;
	return sql(q{
		set search_path = pg_catalog;
		with relation as (
			select c.*, n.nspname || '.' || c.relname as name
			from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'sparse')
		select line from (
			select format('schema %s %s %s', nspname, nspowner::regrole, nspacl) as line from pg_namespace where nspname = 'sparse'
			union all
			select format('%s %s owner %s acl %s security %s %s options %s partition %s %s of %s comment %s', relkind, name, relowner::regrole,
				(select string_agg(a::text, ' ' order by a::text) from unnest(relacl) a),
				relrowsecurity, relforcerowsecurity, reloptions, relispartition, pg_get_expr(relpartbound, oid),
				(select inhparent::regclass from pg_inherits where inhrelid = relation.oid), obj_description(oid, 'pg_class')) from relation
			union all
			select format('%s.%s %s not null %s default %s storage %s identity %s acl %s comment %s', name, attname, format_type(atttypid, atttypmod),
				attnotnull, (select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = attrelid and adnum = attnum),
				attstorage, attidentity, attacl, col_description(attrelid, attnum))
			from pg_attribute join relation on relation.oid = attrelid where attnum > 0 and not attisdropped
			union all
			select format('%s constraint %s %s validated %s', name, conname, pg_get_constraintdef(k.oid), convalidated)
			from pg_constraint k join relation on relation.oid = conrelid
			union all
			select format('index %s', pg_get_indexdef(indexrelid)) from pg_index join relation on relation.oid = indrelid
			union all
			select format('trigger %s enabled %s', pg_get_triggerdef(t.oid), tgenabled) from pg_trigger t join relation on relation.oid = tgrelid where not tgisinternal
			union all
			select format('policy %s on %s %s %s to %s using %s check %s', polname, name, polcmd, polpermissive,
				(select string_agg(r::regrole::text, ' ' order by r::regrole::text) from unnest(polroles) r), pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
			from pg_policy join relation on relation.oid = polrelid
			union all
			select format('view %s %s', name, pg_get_viewdef(oid)) from relation where relkind = 'v'
		) lines order by line collate "C"}, $database);
}

sub rows_of
{
	my ($database) = @_;
	return sql(q{
		select string_agg(format('%s %s', t, xpath('/row/n/text()', query_to_xml(format(
			'select count(*) || '' '' || md5(string_agg(r::text, '','' order by r::text)) as n from sparse.%I r', t), false, true, ''))), E'\n' order by t)
		from unnest(array['store', 'place', 'family', 'version', 'parent', 'file', 'tensor', 'split', 'column', 'column_chunk', 'object', 'object_parent', 'chunk', 'tag', 'tag_history', 'quota', 'upload', 'staged', 'sketch']) t}, $database);
}

my %sha256 = map { $_->[0] => sha256_of_file(data_file($_->[1])) }
  ([ 'base', 'mini-base' ], [ 'child', 'mini-finetune' ], [ 'grown', 'mini-longer-vocabulary' ], [ 'grandchild', 'mini-chain-2' ]);

# The rows of a dataset, in their order.
sub dataset
{
	my ($version, $database) = @_;
	return sql("select md5(string_agg(r::text, '|' order by n)) from
		(select r, row_number() over () as n from (select sparse_rows_as(null::held, '$version') as r offset 0) x) y", $database);
}
my %rows = map { $_ => dataset($_) } qw(held@1 held@2);
is($rows{'held@2'}, sql("select md5(string_agg(held::text, '|' order by id desc)) from held"), 'the dataset is what was committed');

sub check_datasets
{
	my ($database, $how) = @_;
	is(dataset($_, $database), $rows{$_}, "$how: the rows of $_, of types made by the user") for sort keys %rows;
	is(sql("select count(*) from sparse.version v, sparse_verify_rows(v.id) where kind = 'dataset'", $database), '0', "$how: no column has a problem");
	is(sql("select count(*) from sparse_row_diff('held\@1', 'held\@2')", $database), '20', "$how: versions of a dataset are compared");
	is(sql("select sparse_commit_rows('held', 'select * from held order by id desc', 'held', '{id}') = sparse_version_id('held\@2')", $database), 't', "$how: the same rows are the same version");
	sql("select sparse_commit_rows('held', 'select * from held order by id desc offset 1', 'held', '{id}')", $database);
	is(sql("select string_agg(key::text || ' ' || op, '') from sparse_row_diff('held\@2', 'held\@3')", $database), '{"id": 2000} removed', "$how: and go on");
}

sub check_store
{
	my ($database, $how) = @_;
	is(catalog($database), catalog('postgres'), "$how: the catalogs are those of the store that was dumped");
	is(rows_of($database), rows_of('postgres'), "$how: every row is there");
	is(sha256_of_version($node, $_, $database), $sha256{$_}, "$how: $_ can be read") for sort keys %sha256;
	is(sql('select count(*) from sparse.version v, sparse_verify(v.id) where state = \'ready\' and kind = \'model\'', $database), '0', "$how: no version has a problem");

	is(sql("set role reader; select string_agg(name, ' ' order by name) from sparse.version", $database),
		'child child-bit1 gone grandchild grown held held upload', "$how: a reader sees what his policies show");
	my (undef, undef, $hidden) = $node->psql($database, "set role reader; select sparse_reconstruct('base')");
	like($hidden, qr/does not exist/, "$how: and nothing else");
	my (undef, undef, $refused) = $node->psql($database, "set role reader; select from sparse.chunk");
	like($refused, qr/permission denied/, "$how: chunks are granted to nobody");
	my (undef, undef, $guarded) = $node->psql($database, "set role writer; insert into sparse.version (id, name, revision, family) values (99, 'writer/x', 1, 1)");
	like($guarded, qr/are written by the functions of sparse/, "$how: versions are guarded");
	is(sql("set role writer; select created_by from sparse.version where id = sparse_import_bytes('writer/own', '\\x02000000000000007b7d'); reset role; select created_by from sparse.version where name = 'writer/own'", $database),
		'writer', "$how: and written by those who may");
	is(sql("select name from sparse_find_parent('child', 1)", $database), 'base', "$how: parents are found by their sketches");
	is(sql("select count(*) from sparse_lineage('grandchild')", $database), '3', "$how: lineage crosses the tombstone");

	check_datasets($database, $how);
	my $upload = sql("select id from sparse.version where name = 'upload'", $database);
	is(sql("select string_agg(file, ' ') from sparse_layout($upload) where wanted", $database), 'b', "$how: an upload goes on where it was");
	sql("select sparse_write($upload, null, 0, 'two', 'b'); select sparse_commit($upload)", $database);
	is(sql("select convert_from(sparse_read($upload, 'a', 0, 9) || sparse_read($upload, 'b', 0, 9), 'UTF8')", $database), 'onetwo', "$how: and is committed");

	sql("select sparse_import_file('after', '" . data_file('mini-finetune-strong') . "', '{grown}')", $database);
	is(sha256_of_version($node, 'after', $database), sha256_of_file(data_file('mini-finetune-strong')), "$how: the store takes new versions");
	sql("select sparse_drop('child'); select sparse_collect()", $database);
	is(sha256_of_version($node, 'grandchild', $database), $sha256{grandchild}, "$how: and collects without harm");
}

# ---- dumped and restored ----

my @connection = ('-h', $node->host, '-p', $node->port);

sub run_quietly
{
	my ($name, @command) = @_;
	my ($out, $err) = run_command([@command]);
	is($err, '', "$name without a warning") or diag($err);
}

run_quietly('the store is dumped', 'pg_dump', @connection, '-Fc', '-f', "$folder/store.dump", 'postgres');
for my $jobs (1, 4)
{
	sql("create database jobs_$jobs");
	run_quietly("it is restored by $jobs jobs", 'pg_restore', @connection, "-j$jobs", '-d', "jobs_$jobs", "$folder/store.dump");
	check_store("jobs_$jobs", "restored by $jobs jobs");
}

run_quietly('the store is dumped as SQL', 'pg_dump', @connection, '-f', "$folder/store.sql", 'postgres');
sql('create database plain');
my ($out, $err) = run_command([ 'psql', '-XAtq', @connection, '-v', 'ON_ERROR_STOP=1', '-d', 'plain', '-f', "$folder/store.sql" ]);
is($err, '', 'the SQL is run without a warning');
check_store('plain', 'restored from SQL');

# ---- the extension and its data ----

my (undef, undef, $error) = $node->psql('postgres', 'drop extension sparse');
like($error, qr/other objects depend on it/, 'the extension is not dropped while a store stands');

# A store made afresh, with the same grants, has the catalogs of the restored one.
sql('create database fresh');
sql('grant create on database fresh to sparse_owner');
sql(q{
	create extension sparse;
	set role sparse_owner;
	select sparse_create_store();
	reset role;
	grant usage on schema sparse to reader, writer;
	grant select on sparse.version, sparse.file, sparse.parent, sparse.savings to reader;
	grant select, insert (id, kind, name, revision, family, created_by, message, metadata) on sparse.version to writer;
	alter table sparse.version enable row level security;
	create policy visible on sparse.version for select to reader using (name <> 'base');
	create policy new on sparse.version for insert to writer with check (name like 'writer/%');
	create policy every on sparse.version for select to writer using (true);
}, 'fresh');
is(catalog('jobs_4'), catalog('fresh'), 'the catalogs of a restored store are those of a fresh one');

$node->stop;
done_testing();
