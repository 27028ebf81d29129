# pg_sparse pull --record: the server is told what was sent for what, once all of it is
# right, and only when asked: reading writes nothing.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = client_node(sparse_node('record'));
my $folder = PostgreSQL::Test::Utils::tempdir();
my $bytes = -s data_file('mini-finetune');

sub scratch { return "$folder/$_[0]" }

# "pulls raw sent" of a version; nothing where no pull was recorded.
sub recorded
{
	my ($name) = @_;
	return split / /, psql_one("select pulls || ' ' || raw_file_bytes || ' ' || sent_bytes from sparse.egress where name = '$name'");
}

client_works('a base is pushed', 'push', data_file('mini-base'), 'org/base');
client_works('a fine-tune is pushed', 'push', data_file('mini-finetune'), 'org/tuned', '--parent', 'org/base');

client_works('a pull', 'pull', 'org/tuned', '-o', scratch('plain'));
is(psql_one('select count(*) from sparse.pull'), '0', '... is not recorded unless that is asked for');

client_works('a pull is recorded', 'pull', 'org/tuned', '-o', scratch('tuned'), '--record', '-j', 3);
is_file(scratch('tuned'), data_file('mini-finetune'), '... of the file');
my ($pulls, $raw, $sent) = recorded('org/tuned');
is($pulls, 1, '... once');
is($raw, $bytes, '... with the bytes of the file');
ok($sent > .5 * $bytes && $sent < $bytes, '... and those that were sent') or diag("$sent of $bytes");

client_works('a pull of what is there', 'pull', 'org/tuned', '-o', scratch('tuned'), '--record');
is_deeply([recorded('org/tuned')], [$pulls, $raw, $sent], '... is none, and not recorded');

client_works('a pull with the base at hand', 'pull', 'org/tuned', '-o', scratch('again'), '--record', '--have', data_file('mini-base'));
my ($pulls2, $raw2, $sent2) = recorded('org/tuned');
is("$pulls2 $raw2", '2 ' . 2 * $bytes, '... is another of the file');
ok($sent2 - $sent < .25 * $bytes, '... for which little was sent') or diag($sent2 - $sent);

my $tensor = psql_one("select name from sparse_tensors('org/tuned') order by bytes desc limit 1");
my $tensor_bytes = psql_one("select bytes from sparse_tensors('org/tuned') where name = '$tensor'");
client_works('a tensor', 'pull', 'org/tuned', '-o', scratch('tensor'), '--record', '-t', $tensor);
is((recorded('org/tuned'))[1], 2 * $bytes + $tensor_bytes, '... counts with its bytes');
client_works('to standard output', 'pull', 'org/base', '-o', '-', '--record');
is((recorded('org/base'))[1], -s data_file('mini-base'), '... counts like a file');

psql_one("select sparse_approximate('org/tuned', 'int8', name => 'org/near')");
client_works('an approximation', 'pull', 'org/tuned', '-o', scratch('near'), '--record', '--approx');
is((recorded('org/near'))[0], 1, '... is recorded as what it is');

# ---- who may not write ----

psql_one(q{create role reader login; grant usage on schema sparse to reader; grant select on sparse.version to reader});
client_fails(6, 'permission denied for table pull', 'who may not record is told', 'pull', 'org/tuned', '-o', scratch('denied'), '--record', '-U', 'reader');
is_file(scratch('denied'), data_file('mini-finetune'), '... and has the file all the same');
is((recorded('org/tuned'))[0], 3, '... which is not recorded');
client_fails(6, 'not exist', 'a pull that fails', 'pull', 'org/nothing', '-o', scratch('nothing'), '--record');
is(psql_one('select sum(pulls) from sparse.pull'), '5', '... is not recorded');
psql_one('grant select, insert, update on sparse.pull to reader');
client_works('who may does', 'pull', 'org/tuned', '-o', scratch('reader'), '--record', '-U', 'reader');
is((recorded('org/tuned'))[0], 4, '... record');

done_testing();
