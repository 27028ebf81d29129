# Datasets from a shell: rows of CSV and JSON lines go in and come out as they were, with types that are inferred
# only where they keep every character.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = client_node(sparse_node('rows'));
my $scratch = PostgreSQL::Test::Utils::tempdir();

sub file_of
{
	my ($name, $content) = @_;
	open my $file, '>:raw', "$scratch/$name" or die;
	print $file $content;
	close $file;
	return "$scratch/$name";
}

sub content_of
{
	open my $file, '<:raw', $_[0] or die;
	local $/;
	return <$file>;
}

# The types that were shown.
sub types_of
{
	my ($name, @arguments) = @_;
	my ($code, $out, $err) = client('commit', $name, @arguments);
	is($code, 0, "$name is committed") or diag($err);
	return $err =~ /^columns: (.*)$/m ? $1 : $err;
}

sub comes_back
{
	my ($name, $path, $words) = @_;
	my ($ending) = $path =~ /(\.\w+)$/;
	client_works("$name is checked out", 'checkout', $name, '-o', "$scratch/out$ending");
	is(content_of("$scratch/out$ending"), content_of($path), $words);
	return;
}

# ---- CSV ----

my $csv = file_of('a.csv', qq{id,text,price,day,ok,code,big,"with, ""comma"""\n}
	. qq{1,alpha,1.50,2024-02-28,true,007,123456789012345678901234567890,x\n}
	. qq{-2,"be ""ta""",-0.25,2024-03-31,false,010,0.10,"two\nlines"\n}
	. qq{30,\xc3\xa9,3,1999-12-01,true,,1,""\n});
is(types_of('csv', $csv, '--key', 'id', '-m', 'first'), 'id bigint, text text, price numeric, day date, ok boolean, code text, big numeric, with, "comma" text', 'types are inferred and shown');
comes_back('csv', $csv, '... and every character comes back');
is(psql_one(q{select message from sparse.version where name = 'csv'}), 'first', '... with the message');
is(psql_one(q{select count(*) from pg_class where relname like 'rows\_%' and relkind = 'r'}), 0, '... and nothing is left on the server');

# What looks like a type, and would not come back as it is, stays text
my $near = file_of('near.csv', qq{zero,plus,minus,exponent,dot,leap,space,yes,upper,empty,long\n}
	. qq{01,+1,-0,1e5,.5,2023-02-29, 1,t,TRUE,"",} . ('9' x 400) . qq{\n}
	. qq{02,+2,-0,1e6,.6,2024-02-30,2 ,f,FALSE,1,1\n});
my $types = types_of('near', $near);
is($types, join(', ', map { "$_ text" } qw(zero plus minus exponent dot leap space yes upper empty long)), 'what would come back otherwise stays text');
comes_back('near', $near, '... and comes back');
is(types_of('mixed', file_of('mixed.csv', "a,b\n1,\n2,\nx,\n")), 'a text, b text', 'all rows decide; a column without values is text');
is(types_of('given', $csv, '--type', 'id=int', '--type', 'price=double precision'), 'id integer, text text, price double precision, day date, ok boolean, code text, big numeric, with, "comma" text', 'types can be given');
client_fails(6, 'invalid input syntax', '... and are refused where values are none', 'commit', 'given', $csv, '--type', 'text=int', '-q');
client_fails(6, 'does not exist', '... or where there is no such type', 'commit', 'given', $csv, '--type', 'text=nothing', '-q');
client_fails(6, 'syntax|type|invalid', '... and are no way into the statement', 'commit', 'given', $csv, '--type', q{text=int); select 1}, '-q');
client_fails(2, 'no column', '... of a column that is there', 'commit', 'given', $csv, '--type', 'nothing=int', '-q');
client_fails(2, 'COLUMN=TYPE', '... and said so', 'commit', 'given', $csv, '--type', 'int', '-q');
is(psql_one(q{select count(*) from sparse.version where name = 'given'}), 1, '... and nothing of that was stored');

is(types_of('marked', file_of('marked.csv', "\xEF\xBB\xBFa,b\r\n1,x\r\n")), 'a bigint, b text', 'a mark of UTF-8 and line ends of another kind are no part of names');
client_fails(1, 'is empty', 'an empty file has no columns', 'commit', 'bad', file_of('empty.csv', ''));
client_fails(1, 'has no name', 'a column needs a name', 'commit', 'bad', file_of('unnamed.csv', "a,,c\n1,2,3\n"));
client_fails(6, 'more than once|duplicate', '... of its own', 'commit', 'bad', file_of('twice.csv', "a,a\n1,2\n"));
client_fails(6, 'extra data|missing data', 'a row has as many fields as the head', 'commit', 'bad', file_of('ragged.csv', "a,b\n1,2\n1,2,3\n"));
client_fails(2, 'neither .csv nor .jsonl', 'other files are not guessed at', 'commit', 'bad', file_of('rows.txt', "a\n1\n"));
client_fails(1, 'Parquet', 'a Parquet file is named', 'commit', 'bad', file_of('rows.parquet', 'PAR1'));
client_fails(1, 'could not open', 'a file that is not there', 'commit', 'bad', "$scratch/nothing.csv");
is(psql_one(q{select count(*) from sparse.version where name = 'bad'}), 0, 'nothing of all that was stored');
is(types_of('headonly', file_of('head.csv', "a,b\n")), 'a text, b text', 'a file without rows is a version without rows');

# ---- JSON lines ----

my $lines = file_of('a.jsonl', qq({"id":1,"text":"a \\"b\\"\\n","n":1.50,"ok":true,"tags":["x",  1],"big":12345678901234567890}\n)
	. qq({"id":2,"text":null,"n":-3,"ok":false,"tags":{"b":1, "a":2},"big":1}\n));
is(types_of('lines', $lines, '--key', 'id'), 'id bigint, text text, n numeric, ok boolean, tags json, big numeric', 'keys become columns, in their order');
comes_back('lines', $lines, '... and come back, JSON within as it was written');
is(types_of('spread', file_of('spread.jsonl', qq({"b":1}\n\n{"a":"x","b":2}\n{"b":"three"}\n))), 'b json, a text', 'keys that come later are columns, too; values of several kinds stay JSON');
is(client_works('spread', 'checkout', 'spread', '-o', '-'), qq{b,a\n1,\n2,x\n"""three""",\n}, '... an empty line is no row');
client_fails(1, 'twice', 'a key that comes twice is refused', 'commit', 'bad', file_of('twice.jsonl', qq({"a":1,"a":2}\n)));
client_fails(6, 'scalar|array|object', 'what is no object is refused', 'commit', 'bad', file_of('scalar.jsonl', qq([1]\n)));
client_fails(6, 'json', 'what is no JSON is refused', 'commit', 'bad', file_of('broken.jsonl', qq({"a":1\n)));

# ---- versions ----

my $changed = file_of('b.csv', content_of($csv) =~ s/alpha/ALPHA/r =~ s/^30,.*\n//mr . "4,new,1,2024-01-01,true,1,1,y\n");
client_works('a second version', 'commit', 'csv', $changed, '--key', 'id', '-q');
my $stat = client_json('diff --stat', 'diff', 'csv@1', 'csv@2', '--stat')->[0];
is("$stat->{added} $stat->{removed} $stat->{changed}", '1 1 1', 'a diff counts rows');
is(join(' ', sort map { $_->{op} } @{ client_json('diff', 'diff', 'csv@1', 'csv@2') }), 'added changed removed', '... and lists them');
my $theirs = file_of('c.csv', content_of($csv) =~ s/be/BE/r);
client_works('another one', 'commit', 'theirs', $theirs, '--key', 'id', '-P', 'csv@1', '-q');
is(client_json('merge', 'merge', 'merged', 'csv@2', 'theirs', '-m', 'both', '--json')->{rows}, 3, 'two versions are merged');
like(client_works('checkout', 'checkout', 'merged', '-o', '-'), qr/ALPHA.*BE ""ta/s, '... with the changes of both');
my $conflict = file_of('d.csv', content_of($csv) =~ s/alpha/other/r);
client_works('a third', 'commit', 'other', $conflict, '--key', 'id', '-P', 'csv@1', '-q');
client_fails(6, 'conflict|both', 'where both changed a row, that is said', 'merge', 'merged', 'csv@2', 'other', '-q');
client_works('... and can be decided', 'merge', 'merged', 'csv@2', 'other', '--on-conflict', 'theirs', '-q');
like(client_works('checkout', 'checkout', 'merged', '-o', '-'), qr/other/, '... for theirs');
client_fails(2, 'no output', 'a checkout goes somewhere', 'checkout', 'csv');
client_fails(6, 'model|dataset', 'a model has no rows', 'checkout', psql_one(q{select sparse_import_bytes('m', '\x02000000000000007b7d')}), '-o', "$scratch/x.csv");
ok(!-e "$scratch/x.csv", '... and leaves no file');

# from a pipe
is(`printf 'a,b\n1,2\n' | pg_sparse commit piped - -q && pg_sparse checkout piped -o -`, "a,b\n1,2\n", 'rows come and go through pipes');

$node->stop;
done_testing();
