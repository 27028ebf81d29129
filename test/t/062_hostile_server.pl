# A server, or something between it and the client, that sends what it should not: no
# file gets its name, whatever comes, and the client ends in good order.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = client_node(sparse_node('hostile'));
my $folder = PostgreSQL::Test::Utils::tempdir();
my $damaged = 4;
my $out = "$folder/out";

client_works('a base is pushed', 'push', data_file('mini-base'), 'base', '-q');
client_works('a fine-tune is pushed', 'push', data_file('mini-finetune'), 'tuned', '--parent', 'base', '-q');

my @have = ('--have', data_file('mini-base'));

# Puts a function of the test's own in place of sparse_delta: what it selects stands for the real rows r.
psql_one(q{alter function sparse_delta(bigint, text[], text, bigint, bigint) rename to real_delta});

sub answer_with
{
	my ($columns, $from) = @_;
	$from //= 'real_delta(version, have, path, first_byte, length) r';
	psql_one(qq{
		drop function if exists sparse_delta(bigint, text[], text, bigint, bigint);
		create function sparse_delta(version bigint, have text[] default '{}', path text default null,
			first_byte bigint default 0, length bigint default null)
		returns table (file text, tensor text, seq integer, file_offset bigint, bytes bigint,
			encoding text, refs bigint[], delta sdelta, content_xxh3 bigint)
		language sql set search_path = public, pg_catalog
		as \$\$ select $columns from $from \$\$});
}

sub is_refused
{
	my ($name, @columns) = @_;
	answer_with(@columns);
	unlink $out;
	for my $way ([ [ '-o', $out ], '' ], [ [ '-o', $out, @have ], ' with the base at hand' ], [ [ '-o', $out, @have, '-j', 1 ], ' on one connection' ])
	{
		my ($arguments, $how) = @$way;
		my ($code, undef, $err) = client('pull', 'tuned', '-q', @$arguments);
		ok($code eq $damaged && $err =~ /\Apg_sparse: error: [^\n]+\n(hint: [^\n]+\n)?\z/ && !-e $out, "$name is refused$how")
		  or diag("exit $code: $err");
		unlink glob("$folder/.out.*");
	}
}

my %real = map { $_ => "r.$_" } qw(file tensor seq file_offset bytes encoding refs delta content_xxh3);

# The real columns, but for those given.
sub columns
{
	my (%changed) = @_;
	my %all = (%real, %changed);
	return join ', ', map { "$all{$_} as $_" } qw(file tensor seq file_offset bytes encoding refs delta content_xxh3);
}

answer_with(columns());
client_works('an honest server is believed', 'pull', 'tuned', '-q', '-o', $out);
is_file($out, data_file('mini-finetune'), '... and gives the file');

is_refused('a wrong checksum', columns(content_xxh3 => 'r.content_xxh3 + 1'));
is_refused('a wrong length', columns(bytes => 'r.bytes - 1'));
is_refused('a length of nothing', columns(bytes => '0::bigint'));
is_refused('a negative length', columns(bytes => '-1::bigint'));
is_refused('a huge length', columns(bytes => '9223372036854775807::bigint'));
is_refused('a wrong place', columns(file_offset => 'r.file_offset + 1'));
is_refused('a negative place', columns(file_offset => '-r.file_offset - 1'));
is_refused('another file', columns(file => q{'other'::text}));
is_refused('no file', columns(file => 'null::text'));
is_refused('an encoding that nobody knows', columns(encoding => q{'magic'::text}));
is_refused('no encoding', columns(encoding => 'null::text'));
is_refused('no delta', columns(delta => 'null::sdelta'));
is_refused('a delta of something else', columns(delta => q{(select sdelta_encode('abc'))}));
is_refused('a delta of other bytes under the right length', columns(delta => q{sdelta_encode(repeat('x', r.bytes::int)::bytea)}));
is_refused('other bytes with a checksum that fits',
	columns(delta => 'f.delta', content_xxh3 => q{('x' || (sdelta_info(f.delta)).content_xxh3)::bit(64)::bigint}),
	q{real_delta(version, have, path, first_byte, length) r, lateral (select sdelta_encode(repeat('x', r.bytes::int)::bytea) as delta) f});
is_refused('a reference where nothing is held', columns(refs => 'array[[99, 0, 0, r.bytes]]', encoding => q{'same'::text}));
is_refused('a reference to another file', columns(refs => 'array[[1, 7, 0, r.bytes]]', encoding => q{'same'::text}));
is_refused('a reference past the end', columns(refs => 'array[[1, 0, 9223372036854775807, r.bytes]]', encoding => q{'same'::text}));
is_refused('a negative reference', columns(refs => 'array[[1, 0, -5, r.bytes]]', encoding => q{'same'::text}));
is_refused('the wrong bytes of what is held', columns(refs => 'array[[1, 0, 8, r.bytes]]', encoding => q{'same'::text}));
is_refused('a reference of a huge length', columns(refs => 'array[[1, 0, 0, 9223372036854775807]]'));
is_refused('references of five columns', columns(refs => 'array[[1, 0, 0, r.bytes, 0]]'));
is_refused('references of one dimension', columns(refs => 'array[1, 0, 0, r.bytes]'));
is_refused('references with a null', columns(refs => 'array[[1, 0, 0, null]]::bigint[]'));
is_refused('very many references', columns(refs => '(select array_agg(array[1, 0, 0, 1::bigint]) from generate_series(1, 1000))'));
is_refused('no rows', columns(), 'real_delta(version, have, path, first_byte, length) r where false');
is_refused('rows without the last', columns(), 'real_delta(version, have, path, first_byte, length) r where r.file_offset < first_byte + length / 2');
is_refused('rows in another order', columns(), '(select * from real_delta(version, have, path, first_byte, length) order by file_offset desc offset 0) r');
is_refused('rows sent twice', columns(), 'real_delta(version, have, path, first_byte, length) r, generate_series(1, 2)');

# ---- what it says of the files ----

answer_with(columns());
psql_one(q{alter function sparse_files(bigint) rename to real_files});

sub tell_of_files
{
	my ($columns) = @_;
	psql_one(qq{
		drop function if exists sparse_files(bigint);
		create function sparse_files(version bigint)
		returns table (ordinal integer, path text, format text, bytes bigint, sha256 bytea, tensors integer)
		language sql set search_path = public, pg_catalog
		as \$\$ select $columns from real_files(version) \$\$});
}

for my $path ('../escaped', '/tmp/escaped', 'a/../../escaped', './x', 'a//b', '', '.', '.x.pg_sparse-part')
{
	tell_of_files("ordinal, '$path'::text, format, bytes, sha256, tensors");
	mkdir "$folder/into";
	client_fails($damaged, 'leads elsewhere', "a path \"$path\" is refused", 'pull', 'tuned', '-q', '-o', "$folder/into");
}
ok(!-e "$folder/escaped" && !-e '/tmp/escaped', '... and nothing is written there');
tell_of_files('ordinal, path, format, bytes, sha256(sha256), tensors');
client_fails($damaged, 'SHA-256', 'a file of another SHA-256 is refused', 'pull', 'tuned', '-q', '-o', $out = "$folder/other");
ok(!-e $out, '... and does not get its name');
leaves_nothing_beside($folder, '... and nothing of it is kept');
client_fails($damaged, 'SHA-256', '... from standard output too', 'pull', 'tuned', '-q', '-o', '-');
tell_of_files('ordinal, path, format, bytes + 1, sha256, tensors');
client_fails($damaged, '', 'a file that is said to be longer is refused', 'pull', 'tuned', '-q', '-o', $out);
tell_of_files('ordinal, path, format, bytes - 1, sha256, tensors');
client_fails($damaged, '', 'a file that is said to be shorter is refused', 'pull', 'tuned', '-q', '-o', $out);
tell_of_files('ordinal, path, format, -1::bigint, sha256, tensors');
client_fails($damaged, 'malformed', 'a file of a negative size is refused', 'pull', 'tuned', '-q', '-o', $out);
psql_one(q{drop function sparse_files(bigint); alter function real_files(bigint) rename to sparse_files});

# ---- what it wants of a push ----

psql_one(q{alter function sparse_layout(bigint, text[]) rename to real_layout});

sub want
{
	my ($columns) = @_;
	psql_one(qq{
		drop function if exists sparse_layout(bigint, text[]);
		create function sparse_layout(version bigint, have text[] default '{}')
		returns table (file text, tensor text, seq integer, file_offset bigint, bytes bigint, wanted boolean, refs bigint[])
		language sql set search_path = public, pg_catalog
		as \$\$ select $columns from real_layout(version, have) \$\$});
}

my @push = ('push', data_file('mini-finetune-strong'), 'strong', '--parent', 'base', '-q', @have);
for my $case (
	[ 'a file that is none of ours', q{'/etc/passwd'::text, tensor, seq, file_offset, bytes, wanted, refs} ],
	[ 'a tensor that is none of ours', q{file, 'x'::text, seq, file_offset, bytes, wanted, refs} ],
	[ 'more than there is', 'file, tensor, seq, file_offset, bytes + 9000000, wanted, refs' ],
	[ 'what lies before a tensor', 'file, tensor, seq, 0::bigint, bytes, wanted, refs' ],
	[ 'a huge chunk', 'file, tensor, seq, file_offset, 9223372036854775807::bigint, wanted, refs' ],
	[ 'half an element', 'file, tensor, seq, file_offset, bytes - 1, wanted, refs' ])
{
	want($case->[1]);
	client_fails($damaged, 'layout', "a server that wants $case->[0] gets nothing", @push);
}
want('file, tensor, seq, file_offset, bytes, wanted, array[[1, 0, 9223372036854775807, 5]]');
client_works('where it names a prediction that cannot be, none is used', @push);
is(sha256_of_version($node, 'strong'), sha256_of_file(data_file('mini-finetune-strong')), '... and the model arrives');

$node->stop;
done_testing();
