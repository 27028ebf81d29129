# Memory of a backend is bounded whatever the size of the model: 64 MiB, the piece
# returned, and three times the header, shared buffers aside; of datasets 96 MiB, 8
# bytes a row and 0.1 MiB a column, whatever the number of rows (SPARSE_MEMORY_ROWS) and of columns
# (SPARSE_MEMORY_COLUMNS). Measured as the peak of
# the resident set (VmHWM) of a fresh backend, of which what it had before and the
# shared buffers it can have touched are taken off.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

plan skip_all => 'needs /proc' unless -r '/proc/self/status';

my $shared = 16;    # MiB of shared buffers
my $node = PostgreSQL::Test::Cluster->new('memory');
$node->init;
$node->append_conf('postgresql.conf', "shared_buffers = ${shared}MB\nwal_buffers = 1MB\njit = off");
$node->start;
$node->safe_psql('postgres', 'create extension sparse; select sparse_create_store()');
my $folder = PostgreSQL::Test::Utils::tempdir();

# Writes a model whose tensors, of the numbers of MiB given, are the data file's bytes
# in other guises; `change` alters a few of them, as a fine-tune would.
sub write_model
{
	my ($path, $change, @mebibytes) = @_;
	my $unit = substr slurp_file(data_file('main-base')), -(1 << 20);
	my ($at, $number, @header) = (0, 0);
	for my $size (@mebibytes)
	{
		push @header, sprintf '"tensor.%d":{"dtype":"BF16","shape":[%d,512],"data_offsets":[%d,%d]}',
		  $number++, $size << 10, $at << 20, ($at + $size) << 20;
		$at += $size;
	}
	my $header = '{' . join(',', @header) . '}';
	my $mask = $change ? ("\1" . "\0" x 15) x (1 << 16) : "\0" x (1 << 20);
	open my $file, '>:raw', $path or die "$path: $!";
	print $file pack('Q<', length $header), $header;
	print $file $unit ^ pack('v', $_) x (1 << 19) ^ $mask for 1 .. $at;
	close $file or die "$path: $!";
	return $path;
}

# A model of very many, very small tensors.
sub write_many_tensors
{
	my ($path, $count, $from) = @_;
	my $header = '{' . join(',', map {
		sprintf '"model.layers.%d.a.tensor.of.a.long.enough.name":{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]}',
		  $_, 4 * $_, 4 * $_ + 4 } 0 .. $count - 1) . '}';
	open my $file, '>:raw', $path or die "$path: $!";
	print $file pack('Q<', length $header), $header, pack('V*', map { $_ + 1000 * ($from // 0) } 1 .. $count);
	close $file or die "$path: $!";
	return $path;
}

# Puts what sparse_begin wants to hear of a file into table described, under a name; returns its MiB.
sub describe
{
	my ($name, $path) = @_;
	my $file = slurp_file($path);
	my $length = 8 + unpack 'Q<', $file;
	my $header = substr $file, 0, $length;
	my @tensor;
	while ($header =~ /"([^"]+)":\{"dtype"[^}]*"data_offsets":\[(\d+),(\d+)\]/g)
	{
		push @tensor, sprintf '"%s":"%s"', $1, sha256_hex(substr $file, $length + $2, $3 - $2);
	}
	my $files = sprintf '[{"path":"model.safetensors","size":%d,"sha256":"%s","header":"%s","tensors":{%s}}]',
	  length $file, sha256_hex($file), encode_base64($header, ''), join(',', @tensor);
	$node->safe_psql('postgres', "create table if not exists described (name text, files jsonb); insert into described values ('$name', '$files')");
	return length($files) / (1 << 20);
}

# Runs a statement in a fresh backend; its answer, and MiB by which its peak grew.
sub growth
{
	my ($statement) = @_;
	my $peak = q{(select (regexp_match(pg_read_file('/proc/' || pg_backend_pid() || '/status', 0, 4000), 'VmHWM:\s+(\d+)'))[1])};
	my @lines = split /\n/, $node->safe_psql('postgres', "select $peak; $statement; select $peak");
	my ($before, $after) = ($lines[0], $lines[-1]);
	note(sprintf '%.1f MiB more for: %s', ($after - $before) / 1024, $statement);
	return ($lines[1], ($after - $before) / 1024);
}

sub is_bounded
{
	my ($name, $statement, $header, $wanted) = @_;
	my ($answer, $mebibytes) = growth($statement);
	cmp_ok($mebibytes, '<=', 64 + 1 + 3 * $header + $shared, "$name: memory stays within its bound");
	is($answer, $wanted, "$name: and the answer is right") if defined $wanted;
}

my $base = write_model("$folder/base.safetensors", 0, 160, 64, (2) x 16);
my $child = write_model("$folder/child.safetensors", 1, 160, 64, (2) x 16);
my $many = write_many_tensors("$folder/many.safetensors", 20_000);
my $header = (-s $many) / (1 << 20);

is_bounded('import of a model of 256 MiB', "select sparse_import_file('base', '$base')", 0);
is_bounded('import of its fine-tune', "select sparse_import_file('child', '$child', '{base}')", 0);
is_bounded('reconstruction of a base', "select sum(octet_length(p)) from (select sparse_reconstruct('base') as p) x", 0, -s $base);
is_bounded('reconstruction of a fine-tune', "select sum(octet_length(p)) from (select sparse_reconstruct('child') as p) x", 0, -s $child);
is_bounded('export', "select sparse_export('child', '$folder/exported.safetensors')", 0, -s $child);
is_bounded('verification', "select count(*) from sparse_verify('child')", 0, 0);
is_bounded('comparison', "select count(*) || ' ' || sum(changed) from sparse_compare('base', 'child') where state = 'changed'", 0, '18 ' . (256 << 16));
is_bounded('a slice', "select octet_length(sparse_slice('child', 'tensor.0', 100000, 2))", 0, 2048);
is_bounded('import of 20,000 tensors', "select sparse_import_file('many', '$many')", $header);
is_bounded('their reconstruction', "select sum(octet_length(p)) from (select sparse_reconstruct('many') as p) x", $header, -s $many);
is_bounded('their comparison', "select count(*) from sparse_compare('many', 'many')", $header, 20_000);

# What is put together for each row of a long answer must not stay until its end
my $very_many = write_many_tensors("$folder/very_many.safetensors", 100_000);
my $its_header = (-s $very_many) / (1 << 20);
is_bounded('import of 100,000 tensors', "select sparse_import_file('very many', '$very_many')", $its_header);
is_bounded('their verification', "select count(*) from sparse_verify('very many')", $its_header, 0);
$node->safe_psql('postgres', q{select sparse_drop('very many'), sparse_collect('0')});

# Uploads and pulls likewise
my $sent = write_model("$folder/sent.safetensors", 1, 4, 160, 64, (2) x 16);
describe('sent', $sent);
my $begin = q{select sparse_begin('sent', files, '{base}', have => '{base}') from described where name = 'sent'};
is_bounded('begin of an upload', $begin, 0);
my $id = $node->safe_psql('postgres', $begin);
is_bounded('its layout', "select count(*) from sparse_layout($id, '{base}')", 0);
is_bounded('its chunks', "select count(sparse_write($id, tensor, seq, pg_read_binary_file('$sent', file_offset, bytes))) > 50 from sparse_layout($id) where wanted", 0, 't');
is_bounded('its commit', "select sparse_commit($id)", 0, $id);
is(sha256_of_version($node, 'sent'), sha256_of_file($sent), 'what was uploaded is the file');
is_bounded('a pull without anything', "select sum(sdelta_bytes((d).delta)) > 0 from (select sparse_delta('sent') as d offset 0) x", 0, 't');
is_bounded('a pull with the parent', "select sum(sdelta_bytes((d).delta)) > 0 from (select sparse_delta('sent', '{base}') as d offset 0) x", 0, 't');
is_bounded('a pull with a cousin', "select sum(sdelta_bytes((d).delta)) > 0 from (select sparse_delta('child', '{sent}') as d offset 0) x", 0, 't');
$node->safe_psql('postgres', "select sparse_approximate('child', 'svd', 2, name => 'svd'), sparse_approximate('child', 'int8', name => 'int8')");
is_bounded('a pull of factors, and of what needs them', "select count(*) filter (where (d).encoding = 'factor') > 0 from (select sparse_delta_factors('svd', '{base}') as d offset 0) x", 0, 't');
is_bounded('a pull of levels that are coded alone', "select count(*) filter (where (d).encoding = 'factor') > 0 from (select sparse_delta_factors('int8') as d offset 0) x", 0, 't');
$header += describe('many', $many) / 3;
is_bounded('begin of an upload of 20,000 tensors', "set sparse.max_chain_depth = 2; select sparse_begin('as many', files) from described where name = 'many'", $header);
write_many_tensors("$folder/more.safetensors", 20_000, 77);
describe('more', "$folder/more.safetensors");
$begin = q{select sparse_begin('more', files, '{many}', have => '{many}') from described where name = 'more'};
is_bounded('begin of an upload of 20,000 new tensors', $begin, $header);
$id = $node->safe_psql('postgres', $begin);
is_bounded('their layout', "select count(refs) from sparse_layout($id, '{many}') where wanted", $header, 20_000);
is_bounded('their chunks', "select count(sparse_write($id, tensor, seq, pg_read_binary_file('$folder/more.safetensors', file_offset, bytes))) from sparse_layout($id) where wanted", $header, 20_000);
is_bounded('their commit', "select sparse_commit($id)", $header, $id);
is(sha256_of_version($node, 'more'), sha256_of_file("$folder/more.safetensors"), 'they are what was sent');
is_bounded('a pull of 20,000 tensors', "select count(*) from (select sparse_delta('more', '{many}') offset 0) x", $header);
is(sha256_of_file("$folder/exported.safetensors"), sha256_of_file($child), 'what was exported is the file');

# A base with 200,000 descendants
$node->safe_psql('postgres', q{
	insert into sparse.version (id, name, revision, family, state, content_sha256)
	select 1000 + i, 'descendant ' || i, 1, 1, 'ready', sha256('') from generate_series(0, 200000) i;
	insert into sparse.parent (child, ordinal, parent) select 1000 + i, 0, 1000 + i / 10 from generate_series(1, 200000) i;
	analyze sparse.version, sparse.parent;
});
is_bounded('descendants', 'select count(*) from sparse_descendants(1000)', 0, 200_000);
is_bounded('a family', 'select count(*) > 200000 from sparse_family(1000)', 0, 't');
is_bounded('a drawing of some of them', "select count(*) from regexp_split_to_table(sparse_graph(1000, 'tree', 10000), '\\n')", 0, 10_001);

# Datasets of very many rows, and of very many columns
my $rows = $ENV{SPARSE_MEMORY_ROWS} // 1_000_000;
my $columns = $ENV{SPARSE_MEMORY_COLUMNS} // 200;
my $few_rows = 20_000;
$node->safe_psql('postgres', qq{
	create function rows_where(change text, more int default 0) returns text language sql as \$\$
		select format('select id, case when %s then ''changed '' else ''row '' end || id / 10 as t from (select generate_series(1, $rows + %s) as id) x', change, more) \$\$});
$node->safe_psql('postgres', qq{
	create function columns_where(change text) returns text language sql as \$\$
		select format('select id, %s from (select generate_series(1, $few_rows) as id) x',
			string_agg(format('(id * %s %% 1000003) + case when %s then 1 else 0 end as c%s', 1000 + k, change, k), ', '))
		from generate_series(2, $columns) k \$\$});
for my $case (
	[ 'a commit of rows', $rows, 2, q{select sparse_commit_rows('rows', rows_where('false'), key => '{id}') is not null}, 't' ],
	[ 'one on a parent', $rows, 2, q{select sparse_commit_rows('ours', rows_where('id % 100 = 1'), 'rows', '{id}') is not null}, 't' ],
	[ 'a difference', $rows, 2, q{select count(*) from sparse_row_diff('rows', 'ours')}, $rows / 100 ],
	[ 'another commit on a parent', $rows, 2, q{select sparse_commit_rows('theirs', rows_where('id % 100 = 2', 1000), 'rows', '{id}') is not null}, 't' ],
	[ 'a merge', $rows, 2, q{select sparse_merge_rows('merged', 'ours', 'theirs') is not null}, 't' ],
	[ 'all rows', $rows, 2, q{select count(*) from (select sparse_rows('merged') offset 0) x}, $rows + 1000 ],
	[ 'a commit of columns', $few_rows, $columns, q{select sparse_commit_rows('columns', columns_where('false'), key => '{id}') is not null}, 't' ],
	[ 'one of columns on a parent', $few_rows, $columns, q{select sparse_commit_rows('columns', columns_where('id % 100 = 1'), 'columns', '{id}') is not null}, 't' ],
	[ 'a difference of columns', $few_rows, $columns, q{select count(*) from sparse_row_diff('columns@1', 'columns')}, $few_rows / 100 ],
	[ 'a merge of columns', $few_rows, $columns, q{select sparse_merge_rows('columns', 'columns', 'columns@1', base => 'columns@1') is not null}, 't' ])
{
	my ($name, $of_rows, $of_columns, $statement, $wanted) = @$case;
	my ($answer, $mebibytes) = growth($statement);
	cmp_ok($mebibytes, '<=', 96 + 8 * $of_rows / (1 << 20) + 0.1 * $of_columns + $shared, "$name: memory stays within its bound");
	is($answer, $wanted, "$name: and the answer is right");
}

# All of it can be interrupted.
for my $case (
	[ 'an import', "select sparse_import_file('another', '$child')" ],
	[ 'a reconstruction', "select sum(octet_length(p)) from (select sparse_reconstruct('child') as p) x" ],
	[ 'a comparison', "select count(*) from sparse_compare('base', 'child')" ],
	[ 'a verification', "select count(*) from sparse_verify('child')" ],
	[ 'a pull', "select count(*) from (select sparse_delta('child') offset 0) x" ],
	[ 'a pull by what chunks need', "select count(*) from (select sparse_delta_factors('int8') offset 0) x" ],
	[ 'a commit of rows', "select sparse_commit_rows('another', rows_where('true'), key => '{id}')" ],
	[ 'a difference', "select count(*) from sparse_row_diff('ours', 'merged')" ],
	[ 'a merge', "select sparse_merge_rows('another', 'ours', 'theirs')" ])
{
	my ($name, $statement) = @$case;
	my (undef, undef, $error) = $node->psql('postgres', "set statement_timeout = '100ms'; $statement");
	like($error, qr/canceling statement due to statement timeout/, "$name can be interrupted");
}
is($node->safe_psql('postgres', "select count(*) from sparse.version where name = 'another'"), '0', 'and leaves nothing behind');

$node->stop;
done_testing();
