# What earlier versions of the format look like (test/golden/README.md) is read by this
# one: delta files become what they were made of, and a dumped store, restored and
# updated, has the versions that it had.
use strict;
use warnings;

use File::Temp;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $program = $ENV{PG_SPARSE} // (-x './pg_sparse' ? './pg_sparse' : 'pg_sparse');
# all but "same", of which nothing is stored
my @predictors = qw(blend bytes cast dequantised low-rank maxima none parent pruned quantised);
my $node = PostgreSQL::Test::Cluster->new('golden');
$node->init;
$node->start;

sub lines_of
{
	my ($path) = @_;
	open my $file, '<', $path or die "$path: $!\n";
	chomp(my @lines = <$file>);
	return @lines;
}

sub delta_files
{
	my ($set) = @_;
	my $folder = File::Temp->newdir;
	for (lines_of("$set/files.sha256"))
	{
		my ($sha256, $name) = split;
		my @base = $name =~ /alone/ ? '--no-base' : "$set/base";
		my $log = `"$program" reconstruct --quiet @base "$set/$name.delta" -o "$folder/$name" 2>&1`;
		is($?, 0, "$set: delta file $name is read") or diag($log);
		is(-e "$folder/$name" && sha256_of_file("$folder/$name"), $sha256, "$set: $name is what it was made of");
	}
}

sub store
{
	my ($set, $database) = @_;
	$node->safe_psql('postgres', "create database $database");
	my $log = `gzip -dc "$set/store.sql.gz" | psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --host="@{[ $node->host ]}" --port="@{[ $node->port ]}" $database 2>&1`;
	is($?, 0, "$set: the dump is restored") or diag($log);
	$node->safe_psql($database, 'select sparse_update_store()');
	open my $questions, '<', 'test/golden/versions.sql' or die $!;
	my $answers = $node->safe_psql($database, join '', <$questions>);
	is_deeply([ split /\n/, $answers ], [ lines_of("$set/store.sha256") ], "$set: every version is what it was");
	is($node->safe_psql($database, q{
		select (select count(*) from sparse.version v, sparse_verify(v.id) where kind = 'model' and state = 'ready')
		     + (select count(*) from sparse.version v, sparse_verify_rows(v.id) where kind = 'dataset' and state = 'ready')}),
		0, "$set: nothing is found to be wrong");
	is($node->safe_psql($database, q{
		select string_agg(distinct i.version || ' ' || i.predictor, ', ' order by i.version || ' ' || i.predictor) from sparse.chunk c, sdelta_info(c.delta) i}),
		join(', ', map { $set =~ s/.*\///r . " $_" } @predictors), "$set: of every predictor");
	# it goes on from there
	$node->safe_psql($database, q{
		select sparse_commit_rows('rows', 'select id, words, felt from held order by id', 'rows', '{id}');
		select sparse_import_bytes('again', (select string_agg(p, '') from sparse_reconstruct('finetune') p), '{base}')});
	is($node->safe_psql($database, q{select count(*) from sparse.version where state = 'ready' and (name, revision) in (('rows', 3), ('again', 1))}),
		2, "$set: new versions join the old");
}

my @sets = sort grep { /\d$/ } glob 'test/golden/*';
ok(@sets > 0, 'there are golden files');
for my $set (@sets)
{
	delta_files($set);
	store($set, 'golden_' . $set =~ s/.*\///r);
}

done_testing;
