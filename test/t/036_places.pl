# Places on other servers: a catalogue with a standby, and two places. Everything works across them; a server that
# is down costs its own families an error that names it, and nobody else anything; what a failure leaves is collected.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;
use Time::HiRes;

my $catalogue = sparse_node('catalogue', allows_streaming => 1);
$catalogue->append_conf('postgresql.conf', "wal_receiver_status_interval = 1\n");
my %place = map { $_ => PostgreSQL::Test::Cluster->new($_) } qw(east west);

sub sql
{
	my ($statement, $node) = @_;
	return ($node // $catalogue)->safe_psql('postgres', $statement);
}

# As the store's owner.
sub own
{
	my ($statement, $node) = @_;
	return sql("set client_min_messages = error; set role sparse_owner; $statement", $node);
}

# What it fails with.
sub failure
{
	my ($statement, $node) = @_;
	my (undef, undef, $error) = ($node // $catalogue)->psql('postgres', $statement);
	return $error;
}

sub is_whole
{
	my ($version, $file, $name, $node) = @_;
	is(sha256_of_version($node // $catalogue, $version), sha256_of_file(data_file($file)), $name);
}

# ---- two servers that know nothing of sparse ----

for my $name (sort keys %place)
{
	my $node = $place{$name};
	$node->init;
	$node->start;
	sql(qq{create role keeper login;
		create schema sparse_place authorization keeper;
		create table sparse_place.$name (place smallint not null, object bigint not null, seq integer not null,
			delta bytea not null, primary key (object, seq));
		alter table sparse_place.$name alter column delta set storage external;
		grant select, insert, update, delete on sparse_place.$name to keeper}, $node);
	my ($host, $port) = ($node->host, $node->port);
	sql(qq{create extension if not exists postgres_fdw;
		create server $name foreign data wrapper postgres_fdw options (host '$host', port '$port', dbname 'postgres');
		create user mapping for sparse_owner server $name options (user 'keeper', password_required 'false');
		grant usage on foreign server $name to sparse_owner});
	own("select sparse_add_place('$name', '$name', weight => 0)");
}
is(own(q{select string_agg(name || ' ' || kind || ' ' || state, ', ' order by id) from sparse_places()}),
	'here table up, east server up, west server up', 'two places were added on servers without the extension');

# A new name of a place, of a family of its own.
sub import_into
{
	my ($place, $version, $file, $node) = @_;
	own("select sparse_weigh_place(name, (name = '$place')::int) from sparse_places()", $node);
	sql("select sparse_import_file('$version', '" . data_file($file) . "', find_parents => false)", $node);
}

# (first, so that content which others share with it lies here)
import_into('here', 'here', 'main-base');
import_into('east', 'east', 'mini-base');
import_into('west', 'west', 'mini-base-fp32');
import_file($catalogue, 'east', 'mini-finetune', 'east');
is(sql('select string_agg(n, \' \' order by n) from (select distinct v.name || o.place as n from sparse.object o join sparse.version v on v.id = o.version) x'),
	'east1 here0 west2', 'a family lies in its place');

# ---- a standby reads ----

$catalogue->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($catalogue, 'copy', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nwal_receiver_status_interval = 1\n");
$standby->start;
$catalogue->wait_for_catchup($standby);
is_whole('east', 'mini-finetune', 'a standby reads what lies in a place', $standby);

# ---- push, pull, datasets ----

my $directory = PostgreSQL::Test::Utils::tempdir;
my @at = ('-h', $catalogue->host, '-p', $catalogue->port, '-d', 'postgres');
command_ok(['pg_sparse', 'push', @at, data_file('mini-chain-2'), 'pushed', '--parent', 'east'], 'a push into a place');
is(sql(q{select count(*) from sparse.object o join sparse.version v on v.id = o.version where v.name = 'pushed' and o.place not in (0, 1)}), '0', 'its objects lie with its family, or here if they were coded anew');
command_ok(['pg_sparse', 'pull', @at, 'pushed', '-o', "$directory/pulled.safetensors"], 'a pull out of a place');
is(sha256_of_file("$directory/pulled.safetensors"), sha256_of_file(data_file('mini-chain-2')), 'it is what was pushed');
own("select sparse_weigh_place(name, (name = 'west')::int) from sparse_places()");
sql(q{select sparse_commit_rows('rows', 'select i as id, i % 7 as n from generate_series(1, 5000) i', key => '{id}');
	select sparse_commit_rows('rows', 'select i as id, i % 8 as n from generate_series(1, 5000) i', 'rows', '{id}')});
is(sql(q{select count(*) || ' ' || (select count(*) from sparse_verify_rows('rows@2')) from sparse_rows('rows@1')}), '5000 0', 'datasets in a place');

# ---- moving while somebody reads ----

my $reader = $catalogue->background_psql('postgres', on_error_stop => 1);
$reader->query_safe('begin isolation level repeatable read');
is($reader->query_safe(q{select count(*) > 0 from sparse.version}), 't', 'a reader has a snapshot');
my $family = sql(q{select family from sparse.version where name = 'east' limit 1});
own("call sparse_move_family($family, 'west')");
is(sql("select count(distinct o.place) || ' ' || min(o.place) from sparse.object o join sparse.version v on v.id = o.version where v.family = $family"),
	'1 2', 'a family moved from one server to another');
own(q{select sparse_collect('0')});
is($reader->query_safe(q{select encode(sha256(string_agg(piece, '' order by n)), 'hex') from sparse_reconstruct('east') with ordinality as pieces (piece, n)}),
	sha256_of_file(data_file('mini-finetune')), 'the reader finds the old chunks, also after a collection');
$reader->query_safe('commit');
$reader->quit;
is_whole('east', 'mini-finetune', 'others read the new ones');
for (1 .. 30)
{
	own(q{select sparse_collect('0')});
	last if sql('select count(*) from sparse.forgotten') eq '0';
	Time::HiRes::sleep(0.5);
}
is(sql('select count(*) from sparse_place.east', $place{east}), '0', 'when no snapshot can want the old chunks, they are collected');

# ---- a place that is down ----

$place{west}->stop('immediate');
like(failure(q{select sparse_reconstruct('west')}), qr/could not connect to server "west"[\s\S]*place "west"/, 'a place that is down is named');
is_whole('here', 'main-base', 'other families are read as ever');
sql(q{select sparse_import_file('here', '} . data_file('mini-base-int8') . q{', find_parents => false)});
is_whole('here', 'mini-base-int8', 'and written');
own("select sparse_weigh_place(name, case name when 'here' then 0 when 'west' then 1e9 else 1e-9 end::real) from sparse_places()");
sql(q{select sparse_import_file('passed', '} . data_file('mini-lora-adapter') . q{', find_parents => false)});
is(sql(q{select distinct o.place from sparse.object o join sparse.version v on v.id = o.version where v.name = 'passed'}), '1', 'a new family goes to a place that answers');
like(failure(q{set role sparse_owner; select sparse_collect('0')}), qr/nothing was removed from place "west"/, 'a collection passes it over');
is(own(q{select string_agg(name || ' ' || substr(state, 1, 4), ', ' order by id) from sparse_places()}), 'here up, east up, west down', 'sparse_places() says so');
like(failure(q{select sparse_import_file('west', '} . data_file('mini-finetune-fp32') . q{', '{west}')}), qr/place "west"/, 'a write of its family fails');
$place{west}->start;
is_whole('west', 'mini-base-fp32', 'when it is back, everything is there');
is_whole('east', 'mini-finetune', 'of every family');

# ---- killed in mid-write, and the catalogue after the place has committed ----

own("select sparse_weigh_place(name, (name = 'east')::int) from sparse_places()");
my ($in, $out, $err) = ('', '', '');
my $wrote = q{select count(*) > 0 from pg_stat_activity where application_name = 'postgres_fdw' and query ilike '%insert%'};
my $writer = IPC::Run::start(['psql', '-XqAt', '-d', $catalogue->connstr('postgres'), '-c',
	q{begin; select sparse_import_file('killed', '} . data_file('main-finetune') . q{', find_parents => false); select pg_sleep(2); select sparse_import_bytes('killed', '\\x02000000000000007b7d'); commit}], \$in, \$out, \$err);
$place{east}->poll_query_until('postgres', $wrote) or die;
$place{east}->stop('immediate');
$writer->finish;
$place{east}->start;
like($err, qr/place "east"|server "east"|terminating connection|server closed the connection/, 'a place is killed in mid-write: the import has failed');
is(sql(q{select count(*) from sparse.version where name = 'killed'}) . sql(q{select count(*) from sparse_verify('passed')}), '00', 'and nothing else');

# what a crash of the catalogue after the place's commit leaves
sql(q{insert into sparse_place.east select 1, 900000 + i, 0, 'left' from generate_series(1, 1500) i}, $place{east});
is(own(q{select (sparse_collect('1 day')).chunks}), '1500', 'what was written to a place and never committed is collected');

# ---- promoted ----

$catalogue->wait_for_catchup($standby);
$catalogue->stop('immediate');
$standby->promote;
is_whole('east', 'mini-finetune', 'the promoted standby reads', $standby);
own("select sparse_weigh_place(name, (name = 'west')::int) from sparse_places()", $standby);
import_file($standby, 'after', 'mini-finetune-strong', 'east');
is_whole('after', 'mini-finetune-strong', 'and writes', $standby);

# ---- dumped and restored: the catalogue with the places as they are ----

my $dump = "$directory/store.sql";
command_ok(['pg_dump', '-f', $dump, '-d', $standby->connstr('postgres')], 'the catalogue is dumped');
$standby->safe_psql('postgres', 'create database restored');
command_ok(['psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $standby->connstr('restored')], 'and restored');
is(sha256_of_version($standby, 'after', 'restored'), sha256_of_file(data_file('mini-finetune-strong')), 'a restored catalogue reads from the places');
is($standby->safe_psql('restored', q{select count(*) from sparse.version v, sparse_verify(v.id) where v.state = 'ready' and v.kind = 'model'}), '0', 'all of it is whole');

done_testing();
