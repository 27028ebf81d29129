# A store is replicated like any other tables: a standby reads every version and can be
# promoted, and a subscriber of all tables has the same versions, later ones too.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $primary = sparse_node('primary', allows_streaming => 'logical');

sub sql
{
	my ($statement, $node, $database) = @_;
	return ($node // $primary)->safe_psql($database // 'postgres', $statement);
}

# ---- models, and a dataset of types made by the user ----

import_file($primary, 'base', 'mini-base');
import_file($primary, 'child', 'mini-finetune', 'base');
sql(q{
	create type mood as enum ('sad', 'ok', 'happy');
	create type point3 as (x float8, y int, felt mood);
	create domain tagged as point3;
	create domain positive as int check (value > 0);
	create type moods as range (subtype = mood);
	create table held as select i as id, (enum_range(null::mood))[1 + i % 3] as felt, row(i / 3.0, i, 'ok')::point3 as at,
		array[row(i, 1, 'sad')::tagged, null] as path, (i + 1)::positive as size, moods('sad', 'happy') as span, repeat('text ' || i, i % 7) as t
	from generate_series(1, 2000) i;
	alter table held add primary key (id);
	select sparse_commit_rows('held', 'select * from held order by id desc', key => '{id}');
	select sparse_tag('held', 'production');
});

my $change = q{
	update held set felt = 'ok', size = size + 1 where id % 100 = 0;
	select sparse_commit_rows('held', 'select * from held order by id desc', 'held', '{id}');
	select sparse_import_file('grandchild', '} . data_file('mini-chain-2') . q{', '{child}');
};

# What there is: each version with the SHA-256 of all that can be read of it.
sub versions
{
	my ($node, $database) = @_;
	return sql(q{
		select string_agg(format('%s@%s %s %s', name, revision, state, case kind
			when 'model' then (select encode(sha256(string_agg(piece, '' order by n)), 'hex') from sparse_reconstruct(id) with ordinality as pieces (piece, n))
			else (select md5(string_agg(r::text, '|' order by n)) from
			      (select r, row_number() over () as n from (select sparse_rows_as(null::held, id) as r offset 0) x) y) end), E'\n' order by id)
		from sparse.version where state = 'ready'}, $node, $database);
}

sub problems
{
	my ($node, $database) = @_;
	return sql(q{
		select (select count(*) from sparse.version v, sparse_verify(v.id) where kind = 'model' and state = 'ready')
		     + (select count(*) from sparse.version v, sparse_verify_rows(v.id) where kind = 'dataset' and state = 'ready')}, $node, $database);
}

# ---- a standby ----

$primary->backup('taken');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'taken', has_streaming => 1);
$standby->start;

sql($change);
my $all = versions();
like($all, qr/^base\@1 ready \w{64}\nchild\@1 .*\nheld\@1 .*\nheld\@2 ready \w{32}\ngrandchild\@1 ready \w{64}$/, 'the primary has models and datasets');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));
is(versions($standby), $all, 'a standby reads every version');
is(problems($standby), '0', 'and finds no problem in any');
is(sql("select count(*) from sparse_row_diff('held\@production', 'held\@2')", $standby), '20', 'it compares versions');
for my $statement ("select sparse_commit_rows('new', 'select 1 as a')", "select sparse_import_bytes('new', '\\x02000000000000007b7d')", 'select sparse_collect()')
{
	my (undef, undef, $error) = $standby->psql('postgres', $statement);
	like($error, qr/read-only transaction|recovery is in progress/, "it does not: $statement");
}

# ---- a subscriber ----

my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->start;
sql('create role sparse_owner nologin', $subscriber);
my $schema = PostgreSQL::Test::Utils::tempdir() . '/schema.sql';
command_ok([ 'pg_dump', '--schema-only', '-f', $schema, $primary->connstr('postgres') ], 'the schema is dumped');
sql('create publication everything for all tables');
command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $schema, $subscriber->connstr('postgres') ], 'and made at the subscriber');
sql(sprintf("create subscription everything connection 'host=%s port=%d dbname=postgres' publication everything", $primary->host, $primary->port), $subscriber);
ok($subscriber->poll_query_until('postgres', "select count(*) > 10 and bool_and(srsubstate in ('r', 's')) from pg_subscription_rel"), 'the tables are copied');
$primary->wait_for_catchup('everything');
is(versions($subscriber), $all, 'a subscriber has every version');

# every kind of change to the store is published
sql(q{
	select sparse_commit_rows('held', 'select * from held order by id', 'held', '{id}');
	select sparse_tag('held', 'production');
	select sparse_drop('base');
	select sparse_rename('child', 'renamed');
	select sparse_drop('held@1');
	select sparse_collect();
});
$primary->wait_for_catchup('everything');
is(sql('select string_agg(v::text, E\'\n\' order by id) from sparse.version v', $subscriber), sql('select string_agg(v::text, E\'\n\' order by id) from sparse.version v'), 'it follows');
is(problems($subscriber), '0', 'and has no problem in any');

# ---- a subscriber that takes over ----

sql('alter subscription everything disable; alter subscription everything set (slot_name = none); drop subscription everything', $subscriber);
sql("select pg_drop_replication_slot('everything') from pg_replication_slots where not active and slot_name = 'everything'");
sub notices_of
{
	my ($statement) = @_;
	my (undef, undef, $notices) = $subscriber->psql('postgres', $statement);
	return join ' ', map { /NOTICE:  sequence "sparse\.(\w+)"/ ? $1 : () } split /\n/, $notices;
}
my ($failed) = $subscriber->psql('postgres', "select sparse_import_bytes('new', '\\x02000000000000007b7d')");
isnt($failed, 0, 'ids are taken where the sequences have not moved');
is(notices_of('select sparse_update_store()'), 'family_id_seq object_id_seq routing_rule_id_seq tag_history_id_seq version_id_seq', 'sparse_update_store() sets them, and says so');
is(notices_of('select sparse_update_store()'), '', 'once');
is(sql(q{
	select string_agg(c.relname, ' ') from pg_class c
	where relkind = 'S' and relnamespace = 'sparse'::regnamespace and not exists (
		select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i') and d.refobjsubid > 0)}, $subscriber),
	'', 'every sequence belongs to a column by which it is set');
sql("create extension if not exists sparse; select sparse_import_file('taken over', '" . data_file('mini-finetune-strong') . "', '{grandchild}')", $subscriber);
is(sql("select count(*) from sparse_reconstruct('taken over')", $subscriber) > 0, 1, 'then it takes new models');
is(sql(q{select sparse_commit_rows('held', 'select * from sparse_rows_as(null::held, ''held@2'') where id <> 8', 'held', '{id}') is not null and sparse_tag('held', 'newest') is null}, $subscriber), 't', 'and datasets and tags');
is(sql("select sparse_import_bytes('new', '\\x02000000000000007b7d') > 0", $subscriber), 't', '... at the first try');
is(problems($subscriber), '0', 'and no version has a problem');

# ---- promoted ----

$primary->stop;
$standby->promote;
is(sql("select sparse_commit_rows('held', 'select * from held where id <> 7 order by id', 'held', '{id}') is not null", $standby), 't', 'a promoted standby takes new versions');
is(sql("select count(*) from sparse_row_diff('held', 'held\@2')", $standby), '1', 'which are what they should be');
is(problems($standby), '0', 'and no version has a problem');

$_->stop for $standby, $subscriber;
done_testing();
