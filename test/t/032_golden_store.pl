# Dumps of stores that earlier versions made (test/golden/README.md) are restored, brought up to date,
# and give back every byte; and they go on: new versions are children of the old ones.
use strict;
use warnings;

use ClientTest;
use IO::Uncompress::Gunzip ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('golden');
$node->init;
$node->start;
my $folder = PostgreSQL::Test::Utils::tempdir();
my @connection = ('-h', $node->host, '-p', $node->port);
my $list = slurp_file('test/golden/list_store.sql');

sub restore
{
	my ($database, $dump) = @_;
	my $sql;
	IO::Uncompress::Gunzip::gunzip($dump => \$sql) or die "$dump: no gzip";
	write_whole("$folder/$database.sql", $sql);
	$node->safe_psql('postgres', "create database $database");
	my ($out, $err) = run_command([ 'psql', '-XAtq', @connection, '-v', 'ON_ERROR_STOP=1', '-d', $database, '-f', "$folder/$database.sql" ]);
	return $err;
}

sub listed
{
	my ($database) = @_;
	return $node->safe_psql($database, $list) =~ s/\|/ /gr;
}

sub check_store
{
	my ($name, $database) = @_;
	my $sql = sub { $node->safe_psql($database, $_[0]) };

	is($sql->('select sparse_update_store() = sparse_store_format()'), 't', "$name: it is brought up to date");
	is(listed($database), slurp_file("$name.txt") =~ s/\n\z//r, '... and every version gives back what it did');
	is($sql->(q{select count(*) from sparse.version v, sparse_verify(v.id) where state = 'ready' and kind = 'model'}), '0', '... no model has a problem');
	is($sql->(q{select count(*) from sparse.version v, sparse_verify_rows(v.id) where kind = 'dataset'}), '0', '... nor any dataset');
	is($sql->(q{select string_agg(p, ' ') from unnest(array['none', 'parent', 'bytes', 'cast', 'blend', 'low-rank', 'quantised', 'dequantised', 'pruned']) p
		where not exists (select from sparse.object where predictor = p)}), '', '... every predictor is in it');
	is($sql->(q{select string_agg(name || ':' || tag, ' ' order by name) from sparse.tag}), 'org/base:stable org/finetune:production', '... tags are where they were');
	is($sql->(q{select sparse_resolve('org/finetune@production') = sparse_resolve('org/finetune@2')}), 't', '... and lead there');
	is($sql->(q{select count(*) > 0 from sparse_row_diff('org/faq@1', 'org/faq@2', 'train')}), 't', '... versions of a dataset are compared');
	return;
}

sub goes_on
{
	my ($name, $database) = @_;
	my $sql = sub { $node->safe_psql($database, $_[0]) };

	$sql->(q{select sparse_write(id, null, 0, 'two', 'b'), sparse_commit(id) from sparse.version where name = 'org/upload'});
	is($sql->(q{select convert_from(sparse_read('org/upload', 'a', 0, 9) || sparse_read('org/upload', 'b', 0, 9), 'UTF8')}), 'onetwo', "$name: an upload goes on");
	$sql->(q{select sparse_commit_rows('org/plain', 'select generate_series(1::bigint, 99) as id, ''x'' as answer', 'org/plain')});
	is($sql->(q{select count(*) from (select sparse_rows('org/plain@2')) x}), '99', '... a dataset has a new version');
	my $file = data_file('mini-finetune');
	$sql->("select sparse_import_file('org/new', '$file', '{org/base}')");
	is(sha256_of_version($node, 'org/new', $database), sha256_of_file($file), '... and a model a new child');
	is($sql->(q{select count(*) > 0 from sparse_route_candidates('{"versions": ["org/base", "org/new"]}')}), 't', '... both are routed');
	is($sql->(q{select count(*) from sparse.version v where v.kind = 'model' and v.state = 'ready' and not exists (select from sparse.weight w where w.version = v.id)}),
		'0', '... and weighed');
	$sql->('call sparse_repack()');
	$sql->('select sparse_collect()');
	my %line = map { $_ => 1 } split /\n/, listed($database);
	my @lost = grep { / ready / && !$line{$_} } split /\n/, slurp_file("$name.txt");
	is("@lost", '', '... nothing is lost by repacking and collecting');
	return;
}

my $number = 0;
for my $dump (sort glob('test/golden/*/store-*.sql.gz'))
{
	my $name = $dump =~ s/\.sql\.gz$//r;
	my $database = 'golden_' . ++$number;
	is(restore($database, $dump), '', "$name is restored without a warning");
	check_store($name, $database);
	goes_on($name, $database);
}
ok($number > 0, 'there are dumps');

$node->stop;
done_testing();
