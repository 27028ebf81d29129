# The examples of docs/python.md are one program that runs as it stands, with Debian's
# psycopg 3 and numpy.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my ($python) = grep { system("$_ -c 'import psycopg, numpy' 2>/dev/null") == 0 } qw(python3 /usr/bin/python3);
plan skip_all => 'needs python3-psycopg and python3-numpy' unless $python;

my $node = client_node(sparse_node('python'));
import_file($node, 'acme/base', 'mini-base');
import_file($node, 'acme/tuned', 'mini-finetune', 'acme/base');

my $page = slurp_file('docs/python.md');
my @blocks = $page =~ /^```python\n(.*?)^```$/msg;
cmp_ok(scalar @blocks, '>=', 6, 'the page has examples');
my $folder = PostgreSQL::Test::Utils::tempdir();
my $script = write_whole("$folder/examples.py", join("\n", @blocks));

my $out = `$python '$script' 2>&1`;
is($?, 0, 'they run') or diag($out);
like($out, qr/^\(384,\) /m, 'a tensor has its shape');
like($out, qr/^\(3, 384\)$/m, 'rows have theirs');
like($out, qr/^11 tensors, \d+ parameters$/m, 'a state dict has all tensors');
is(psql_one(q{select state || ' ' || (metadata ->> 'by') from sparse.version where name = 'acme/changed'}), 'ready python', 'what is pushed is ready');
is(psql_one(q{select count(*) from sparse_verify('acme/changed')}), '0', '... and sound');
is( psql_one(q{select count(*) from sparse_tensors('acme/changed') c join sparse_tensors('acme/tuned') t using (name, sha256)}),
	'10', '... of the tensors that it was made of');
$out = `$python '$script' 2>&1`;
is($?, 0, 'they run again') or diag($out);

$node->stop;
done_testing();
