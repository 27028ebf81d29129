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

# Puts a function of the test's own in place of the one that a pull asks: what it selects stands for the real rows r.
psql_one(q{alter function sparse_delta_factors(bigint, text[], text, bigint, bigint) rename to real_delta});
my $asked = 'sparse_delta_factors';
my $pulled = 'tuned';

sub answer_with
{
	my ($columns, $from) = @_;
	$from //= 'real_delta(version, have, path, first_byte, length) r';
	psql_one(qq{
		drop function if exists $asked(bigint, text[], text, bigint, bigint);
		create function $asked(version bigint, have text[] default '{}', path text default null,
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
		my ($code, undef, $err) = client('pull', $pulled, '-q', @$arguments);
		ok($code eq $damaged && $err =~ /\Apg_sparse: error: [^\n]+\n(hint: [^\n]+\n)?\z/ && !-e $out, "$name is refused$how")
		  or diag("exit $code: $err");
		unlink glob("$folder/.pg_sparse-*");
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
is_refused('a reference to no bytes', columns(refs => 'array[[1, 0, 0, 0]]', encoding => q{'same'::text}));

# A row more, which goes on where the last one ends.
my $beyond = q{(select * from real_delta(version, have, path, first_byte, length) union all
	select file, null, 0, last, 100, 'delta', null, d, ('x' || (sdelta_info(d)).content_xxh3)::bit(64)::bigint
	from (select min(file) as file, max(file_offset + bytes) as last, sdelta_encode(repeat('x', 100)::bytea) as d
		from real_delta(version, have, path, first_byte, length)) m) r};
is_refused('a row beyond the end', columns(), $beyond);
client_fails($damaged, 'more than it was asked for', '... to standard output too', 'pull', 'tuned', '-q', '-o', '-');
client_fails($damaged, 'more than it was asked for', '... of a tensor too', 'pull', 'tuned', '-q', '-o', $out, '-t', 'model.norm.weight');
ok(!-e $out, '... and leaves no file');

# ---- what chunks need, before them ----

psql_one(q{select sparse_approximate('tuned', 'bit1', name => 'near')});
$pulled = 'near';
@have = ('--have', data_file('mini-base'));
my $near = psql_one(q{select encode(sha256, 'hex') from sparse_files('near')});

# Only with the base at hand does anything come before chunks.
sub is_refused_with_base
{
	my ($name, @columns) = @_;
	answer_with(@columns);
	unlink $out;
	for my $jobs (1, 3)
	{
		my ($code, undef, $err) = client('pull', 'near', '-q', '-o', $out, @have, '-j', $jobs);
		ok($code eq $damaged && $err =~ /\Apg_sparse: error: [^\n]+\n(hint: [^\n]+\n)?\z/ && !-e $out, "$name is refused on $jobs connections")
		  or diag("exit $code: $err");
		unlink glob("$folder/.pg_sparse-*");
	}
}

sub of_factors
{
	my ($column, $expression) = @_;
	return columns($column => "case when r.encoding = 'factor' then $expression else r.$column end");
}

answer_with(columns());
client_works('an honest server is believed', 'pull', 'near', '-q', '-o', $out, @have);
is(sha256_of_file($out), $near, '... and gives the file');
is_refused_with_base('no factor', columns(), q{real_delta(version, have, path, first_byte, length) r where r.encoding <> 'factor'});
is_refused_with_base('not every factor', columns(), q{(select *, row_number() over (partition by encoding) as n from real_delta(version, have, path, first_byte, length)) r where r.encoding <> 'factor' or r.n <> 3});
is_refused_with_base('a factor of nobody', of_factors(file => q{'other'::text}));
is_refused_with_base('a factor a little further on', of_factors(file_offset => 'r.file_offset + 1'));
is_refused_with_base('a factor in a negative place', of_factors(file_offset => '-r.file_offset - 1'));
is_refused_with_base('a factor far off', of_factors(file_offset => '9223372036854775807'));
is_refused_with_base('each factor in the first one\'s place', of_factors(file_offset => '0::bigint'));
is_refused_with_base('a factor of another checksum', of_factors(content_xxh3 => 'r.content_xxh3 + 1'));
is_refused_with_base('a factor of another length', of_factors(bytes => 'r.bytes + 1'));
is_refused_with_base('a factor of no length', of_factors(bytes => '0::bigint'));
is_refused_with_base('a factor without a delta', of_factors(delta => 'null::sdelta'));
is_refused_with_base('other factors with checksums that fit',
	columns(delta => 'coalesce(f.delta, r.delta)', content_xxh3 => q{coalesce(('x' || (sdelta_info(f.delta)).content_xxh3)::bit(64)::bigint, r.content_xxh3)},
		refs => 'case when f.delta is null then r.refs end'),
	q{real_delta(version, have, path, first_byte, length) r,
	lateral (select case when r.encoding = 'factor' then sdelta_encode(repeat('x', r.bytes::int)::bytea) end as delta) f});
is_refused_with_base('a reference past what came', columns(refs =>
	'(select array_agg(array[r.refs[i][1], r.refs[i][2], case r.refs[i][1] when 0 then 1::bigint << 40 else r.refs[i][3] end, r.refs[i][4]] order by i) from generate_subscripts(r.refs, 1) i)'));
is_refused_with_base('a reference to another such file', columns(refs =>
	'(select array_agg(array[r.refs[i][1], case r.refs[i][1] when 0 then 1 else r.refs[i][2] end, r.refs[i][3], r.refs[i][4]] order by i) from generate_subscripts(r.refs, 1) i)'));
is_refused_with_base('a factor behind the last chunk', columns(), q{(select * from real_delta(version, have, path, first_byte, length) union all
	(select * from real_delta(version, have, path, first_byte, length) where encoding = 'factor' limit 1)) r});
is_refused_with_base('a chunk as a factor', columns(encoding => q{case r.encoding when 'delta' then 'factor' else r.encoding end}));
is_refused_with_base('a factor as a chunk', columns(encoding => q{case r.encoding when 'factor' then 'delta' else r.encoding end}));
# more than any chunk may need, on and on, from the first byte of the tape or from its end
for my $place ('0::bigint', '(n - 1) * 8388608::bigint')
{
	is_refused_with_base('no end of factors', columns(), qq{(select e.file, null::text as tensor, 0 as seq, $place as file_offset, 8388608::bigint as bytes, 'factor'::text as encoding, null::bigint[] as refs,
		f.delta, ('x' || (sdelta_info(f.delta)).content_xxh3)::bit(64)::bigint as content_xxh3
		from generate_series(1, 1000000) n, (select sdelta_encode(repeat('x', 8388608)::bytea) as delta offset 0) f, (select path as file from sparse_files('near')) e) r});
}
leaves_nothing_beside($folder, '... and nothing is left of them');

# ---- a server that knows of no such thing ----

psql_one(q{
	drop function sparse_delta_factors(bigint, text[], text, bigint, bigint);
	alter function sparse_delta_factors(text, text[], text, bigint, bigint) rename to not_there;
	alter function real_delta(bigint, text[], text, bigint, bigint) rename to real_factors;
	alter function sparse_delta(bigint, text[], text, bigint, bigint) rename to real_delta});
$asked = 'sparse_delta';
answer_with(columns());
unlink $out;
client_works('it is asked for chunks alone', 'pull', 'near', '-q', '-o', $out, @have);
is(sha256_of_file($out), $near, '... and gives the file');
is_refused_with_base('a factor that nobody asked for', columns(), 'real_factors(version, have, path, first_byte, length) r');
$pulled = 'tuned';
is_refused('a wrong checksum', columns(content_xxh3 => 'r.content_xxh3 + 1'));

# ---- rows that begin before what was asked for, when that has been hashed already ----

my $large = data_file('main-base');
client_works('a model of several pieces is pushed', 'push', $large, 'large', '-q');
psql_one(qq{
	drop function sparse_delta(bigint, text[], text, bigint, bigint);
	create function sparse_delta(version bigint, have text[] default '{}', path text default null,
		first_byte bigint default 0, length bigint default null)
	returns table (file text, tensor text, seq integer, file_offset bigint, bytes bigint,
		encoding text, refs bigint[], delta sdelta, content_xxh3 bigint)
	language plpgsql set search_path = public, pg_catalog
	as \$\$
	#variable_conflict use_column
	declare
		r record;
		evil sdelta;
	begin
		for r in select * from real_delta(sparse_delta.version, sparse_delta.have, sparse_delta.path, sparse_delta.first_byte, sparse_delta.length)
		loop
			if sparse_delta.first_byte > 0 and r.file_offset <= sparse_delta.first_byte
			then
				perform pg_sleep(0.5);
				evil := sdelta_encode(repeat('x', 100)::bytea || pg_read_binary_file('$large', r.file_offset, r.bytes));
				return query select r.file, r.tensor, r.seq, r.file_offset - 100, r.bytes + 100, 'delta'::text, null::bigint[], evil,
					('x' || (sdelta_info(evil)).content_xxh3)::bit(64)::bigint;
			else
				return query select r.file, r.tensor, r.seq, r.file_offset, r.bytes, r.encoding, r.refs, r.delta, r.content_xxh3;
			end if;
		end loop;
	end \$\$});
for my $jobs (1, 4)
{
	unlink $out, glob("$folder/.pg_sparse-*");
	my ($code, undef, $err) = client('pull', 'large', '-q', '-o', $out, '-j', $jobs);
	ok($code eq '0' ? sha256_of_file($out) eq sha256_of_file($large) : !-e $out,
		"what comes before a piece changes nothing that was checked, on $jobs connections") or diag("exit $code: $err");
	note("exit $code: $err");
}
unlink $out, glob("$folder/.pg_sparse-*");

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

for my $path ('../escaped', '/tmp/escaped', 'a/../../escaped', './x', 'a//b', '', '.', '.pg_sparse-0123456789abcdef0123456789abcdef.part')
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
tell_of_files('ordinal, path, format, bytes, sha256, tensors from real_files(version) union all select ordinal + 1, path, format, bytes, sha256, tensors');
client_fails($damaged, 'malformed', 'a path that comes twice is refused', 'pull', 'tuned', '-q', '-o', "$folder/into");
psql_one(q{drop function sparse_files(bigint); alter function real_files(bigint) rename to sparse_files});

# ---- what it says of tensors ----

psql_one(q{alter function sparse_tensors(bigint) rename to real_tensors});
for my $case ([ 'a negative place', '-1::bigint, bytes' ], [ 'a place past the end', 'first_byte + 9000000, bytes' ],
	[ 'negative bytes', 'first_byte, -1::bigint' ], [ 'more bytes than the file has', 'first_byte, 9223372036854775807::bigint' ])
{
	my ($name, $numbers) = @$case;
	psql_one(qq{
		drop function if exists sparse_tensors(bigint);
		create function sparse_tensors(version bigint)
		returns table (file text, name text, dtype text, shape bigint[], first_byte bigint, bytes bigint, sha256 bytea,
			predictor text, depth integer, chunks bigint, stored_bytes bigint)
		language sql set search_path = public, pg_catalog
		as \$\$ select file, name, dtype, shape::bigint[], $numbers, sha256, predictor::text, depth::int, chunks::bigint, stored_bytes::bigint
			from real_tensors(version) \$\$});
	client_fails($damaged, 'malformed', "a tensor of $name is refused", 'pull', 'tuned', '-q', '-o', $out, '-t', 'model.norm.weight');
}
psql_one(q{drop function sparse_tensors(bigint); alter function real_tensors(bigint) rename to sparse_tensors});

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

psql_one(q{drop function sparse_layout(bigint, text[]); alter function real_layout(bigint, text[]) rename to sparse_layout});

# ---- an upload that holds a wrong chunk ----

@push = ('push', data_file('mini-base-int8'), 'wrong', '--no-parent', '-q');
psql_one(q{alter function sparse_commit(bigint) rename to real_commit});
client_fails(6, 'sparse_commit', 'a push that cannot be completed stays open', @push);
psql_one(q{alter function real_commit(bigint) rename to sparse_commit});
psql_one(q{select sparse_write(v.id, l.tensor, l.seq, decode(repeat('00', l.bytes::int), 'hex'), l.file)
	from sparse.version v, lateral (select * from sparse_layout(v.id) where tensor is not null order by bytes desc limit 1) l
	where v.name = 'wrong' and v.state = 'open'});
client_fails($damaged, 'not what it was said to be', 'with a wrong chunk in it, it is refused', @push);
client_works('... and given up, so that the same command again works', @push);
is(sha256_of_version($node, 'wrong'), sha256_of_file(data_file('mini-base-int8')), '... and the model arrives');

$node->stop;
done_testing();
