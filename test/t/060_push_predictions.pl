# A push with the parents at hand sends what an import would store, whatever predicts it, and nothing is looked for twice; what the
# server cannot predict as it is told is sent as it says itself, what met another transaction is sent again.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = client_node(sparse_node('push_predictions'));
my $folder = PostgreSQL::Test::Utils::tempdir();

# What is stored is what came: the commit looks for nothing.
psql_one('alter database postgres set sparse.optimize_commits = off');
$node->safe_psql('postgres', 'create database imported');
$node->safe_psql('imported', 'create extension sparse; select sparse_create_store()');

# In this order, so that both stores share the same contents.
my @models = (
	[ 'mini-base' ],
	[ 'mini-lora-adapter' ],
	[ 'mini-finetune', 'mini-base' ],
	[ 'mini-finetune-strong', 'mini-base' ],
	[ 'mini-lora-merged', 'mini-base', 'mini-lora-adapter' ],
	[ 'mini-merge-linear', 'mini-finetune', 'mini-finetune-strong' ],
	[ 'mini-finetune-pruned', 'mini-finetune' ],
	[ 'mini-base-int8', 'mini-base' ],
	[ 'mini-base-fp32', 'mini-base' ],
	[ 'mini-longer-vocabulary', 'mini-base' ]);

sub relatives
{
	my (@parents) = @_;
	return map { ('--parent', $_, '--have', data_file($_)) } @parents;
}

for my $model (@models)
{
	my ($name, @parents) = @$model;
	my $parents = join ',', @parents;
	my $stored = $node->safe_psql('imported', "
		select sparse_import_file('$name', '" . data_file($name) . "', '{$parents}');
		select stored_bytes from sparse.version where name = '$name'") =~ s/.*\n//sr;
	my $answer = client_json("$name is pushed", 'push', data_file($name), $name, relatives(@parents));
	is($answer->{stored_bytes}, $stored, '... and takes what it takes when it is imported');
	cmp_ok($answer->{sent_bytes}, '<=', $stored, '... which is what was sent');
	client_works('... and pulled', 'pull', $name, '-o', "$folder/out");
	is_file("$folder/out", data_file($name), '... and is the file');
	unlink "$folder/out";
}
is(psql_one('select count(*) from sparse.version v, sparse_verify(v.id)'), '0', 'the server finds no problem in any of them');
is( psql_one(q{select string_agg(distinct predictor, ' ' order by predictor) from sparse.version v, sparse_tensors(v.id) where v.name in ('mini-lora-merged', 'mini-merge-linear', 'mini-finetune-pruned')}),
	$node->safe_psql('imported', q{select string_agg(distinct predictor, ' ' order by predictor) from sparse.version v, sparse_tensors(v.id) where v.name in ('mini-lora-merged', 'mini-merge-linear', 'mini-finetune-pruned')}),
	'... and predicts them as an import does');

# ---- where it is not looked again ----

# The names that are pushed are new, their contents are not: they have to go first.
sub forget
{
	my ($name) = @_;
	psql_one("select sparse_drop('$name')");
	psql_one('select sparse_collect()');
}

psql_one('alter database postgres reset sparse.optimize_commits');
forget('mini-lora-merged');
my $answer = client_json('a merged adapter without the adapter', 'push', data_file('mini-lora-merged'), 'alone', relatives('mini-base'));
cmp_ok($answer->{sent_bytes}, '<', .03 * $answer->{raw_bytes}, '... travels as a base and factors');
forget('alone');
$answer = client_json('where a parent is not at hand', 'push', data_file('mini-lora-merged'), 'alone', relatives('mini-base'), '--parent', 'mini-lora-adapter');
cmp_ok($answer->{stored_bytes}, '<', .001 * $answer->{raw_bytes}, '... the commit looks for what the client could not');
forget('alone');
my $light = client_json('less effort', 'push', data_file('mini-lora-merged'), 'alone', '--effort', 1, relatives('mini-base'));
cmp_ok($light->{sent_bytes}, '>', .2 * $light->{raw_bytes}, '... finds less');
client_fails(2, 'effort', 'no effort is refused', 'push', data_file('mini-lora-merged'), 'alone', '--effort', 0);
forget('alone');

# ---- shards ----

write_shards("$folder/base", 0);
write_shards("$folder/tuned", 1);
client_works('a sharded model is pushed', 'push', "$folder/base", 'shards');
$answer = client_json('its child is pushed with all shards at hand', 'push', "$folder/tuned", 'tuned', '--parent', 'shards', '--have', "$folder/base");
cmp_ok($answer->{sent_bytes}, '<', .3 * $answer->{raw_bytes}, '... as its change');
client_works('... and pulled', 'pull', 'tuned', '-o', "$folder/again");
is_file("$folder/again/$_", "$folder/tuned/$_", "... $_ is the file") for map { s{.*/}{}r } glob "$folder/tuned/*.safetensors";

# ---- a server that will not, or not yet ----

# Puts a function of the test's own in the place of the one that a push calls.
psql_one('alter function sparse_write_deltas(bigint, text, integer[], sdelta[], text, text[], bigint[], sdelta[]) rename to real_write');
psql_one('create sequence calls');

sub answer_with
{
	my ($body) = @_;
	psql_one(qq{
		create or replace function sparse_write_deltas(version bigint, tensor text, seq integer[], delta sdelta[], path text, have text[], parents bigint[], factors sdelta[])
		returns boolean language plpgsql set search_path = public, pg_catalog as \$\$ begin $body end \$\$;
		select setval('calls', 1)});
}

my $real = 'real_write(version, tensor, seq, delta, path, have, parents, factors)';
answer_with("return case when parents is null then $real else false end;");
$answer = client_json('where the server takes no parents', 'push', data_file('mini-lora-merged'), 'alone', relatives('mini-base'));
cmp_ok($answer->{stored_bytes}, '<', .03 * $answer->{raw_bytes}, '... what the layout says is sent, and the commit finds the rest');
forget('alone');

answer_with("if nextval('calls') % 5 = 0 then raise 'met another' using errcode = 'serialization_failure'; end if; return $real;");
$answer = client_json('where transactions meet others', 'push', data_file('mini-lora-merged'), 'alone', relatives('mini-base'));
cmp_ok($answer->{stored_bytes}, '<', .03 * $answer->{raw_bytes}, '... batches are sent again');
client_works('... and pulled', 'pull', 'alone', '-o', "$folder/out");
is_file("$folder/out", data_file('mini-lora-merged'), '... and is the file');
forget('alone');

answer_with("if nextval('calls') > 2 then raise 'no more'; end if; return $real;");
my ($code, undef, $err) = client('push', data_file('mini-lora-merged'), 'alone', relatives('mini-base'), '-q');
ok($code eq '6' && $err =~ /no more/, 'a push breaks off') or diag("$code: $err");
answer_with("return $real;");
$answer = client_json('the same again, with another parent', 'push', data_file('mini-lora-merged'), 'alone', relatives('mini-base'));
client_works('... is what was pushed', 'pull', 'alone', '-o', "$folder/out2");
is_file("$folder/out2", data_file('mini-lora-merged'), '... and is the file');
is(psql_one(q{select count(*) from sparse.version where state = 'open'}), '0', 'nothing is left open');
is(psql_one('select count(*) from sparse.version v, sparse_verify(v.id) where v.state = ' . "'ready'"), '0', 'the server finds no problem in any of them');

done_testing();
