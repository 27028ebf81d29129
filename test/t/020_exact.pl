# The promise: what goes in comes out, byte for byte. Every data file with its parent,
# in chunks of two sizes; folders, shards with their index, links; and out again into
# files of the server.
use strict;
use warnings;

use Digest::SHA ();
use File::Basename;
use File::Path qw(make_path);
use IPC::Run;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;
use Time::HiRes qw(usleep);

# child => parents; those without are bases
my @models = (
	[ 'main-base' ],
	[ 'main-finetune', 'main-base' ],
	[ 'mini-base' ],
	[ 'mini-finetune', 'mini-base' ],
	[ 'mini-finetune-strong', 'mini-base' ],
	[ 'mini-finetune-light', 'mini-base' ],
	[ 'mini-chain-1', 'mini-finetune' ],
	[ 'mini-chain-2', 'mini-chain-1' ],
	[ 'mini-longer-vocabulary', 'mini-base' ],
	[ 'mini-base-fp32', 'mini-base' ],
	[ 'mini-finetune-fp32', 'mini-base-fp32' ],
	[ 'mini-base-fp16', 'mini-base' ],
	[ 'mini-finetune-fp16', 'mini-base-fp16' ],
	[ 'mini-base-int8', 'mini-base' ],
	[ 'mini-lora-adapter', 'mini-base' ],
	[ 'mini-lora-merged', 'mini-base', 'mini-lora-adapter' ],
	[ 'mini-merge-linear', 'mini-finetune', 'mini-finetune-strong' ],
	[ 'mini-merge-slerp', 'mini-finetune', 'mini-finetune-strong' ],
	[ 'mini-finetune-pruned', 'mini-finetune' ]);

# Fractions of the file that its stored bytes may take at most.
my %most = (
	'main-finetune' => 0.225,
	'mini-finetune-light' => 0.080,
	'mini-base' => 0.690);

my $node = sparse_node('exact');
my $folder = PostgreSQL::Test::Utils::tempdir();

sub sql { return $node->safe_psql('postgres', $_[0]) }

# The error that a statement ends with; empty when it succeeds.
sub failure
{
	my (undef, undef, $error) = $node->psql('postgres', $_[0]);
	return $error;
}

sub write_file
{
	my ($path, $content) = @_;
	make_path(dirname($path));
	open my $file, '>:raw', $path or die "$path: $!";
	print $file $content;
	close $file or die "$path: $!";
}

sub sha256_of_version_file
{
	my ($version, $path) = @_;
	return sql("select coalesce(encode(sha256(string_agg(piece, '' order by n)), 'hex'), 'no pieces')
		from sparse_reconstruct_file('$version', '$path') with ordinality as pieces (piece, n)");
}

# ---- every data file ----

for my $model (@models)
{
	my ($name, @parents) = @$model;
	next unless -e data_file($name);
	import_file($node, $name, $name, @parents);
	is(sha256_of_version($node, $name), sha256_of_file(data_file($name)),
		"$name comes back byte for byte");
	my $fraction = sql("select fraction_of_raw_files from sparse.savings where name = '$name'");
	note("$name is stored in $fraction of its bytes");
	cmp_ok($fraction, '<=', $most{$name}, "$name takes at most $most{$name} of its bytes")
	  if $most{$name};
}
is(sql("select count(*) from sparse.version v, sparse_verify(v.id)"), '0',
	'no version has a problem');

my $before = sql('select count(*), (select count(*) from sparse.version) from sparse.chunk');
is( import_file($node, 'mini-finetune', 'mini-finetune', 'mini-base'),
	sql("select sparse_version_id('mini-finetune')"),
	'the same content under the same name is the same version');
is(sql('select count(*), (select count(*) from sparse.version) from sparse.chunk'),
	$before, 'and writes nothing');

# through a client, as a stream
my $copied = "$folder/copied";
$node->command_ok(
	[
		'psql', '-X', '-d', $node->connstr('postgres'), '-c',
		"\\copy (select encode(sparse_reconstruct('main-finetune'), 'hex')) to '$copied'"
	],
	'a version streams through copy');
{
	open my $lines, '<', $copied or die "$copied: $!";
	my $sum = Digest::SHA->new(256);
	while (<$lines>) { chomp; $sum->add(pack 'H*', $_) }
	is($sum->hexdigest, sha256_of_file(data_file('main-finetune')), 'and is the file');
}

# ---- small chunks, deep chains ----

$node->safe_psql('postgres', 'create database small');
$node->safe_psql('postgres', "alter database small set sparse.chunk_size = '64kB'");
$node->safe_psql('small', 'create extension sparse; select sparse_create_store()');
for my $model (grep { $_->[0] =~ /^mini/ && -e data_file($_->[0]) } @models)
{
	my ($name, @parents) = @$model;
	my $list = join ',', @parents;
	$node->safe_psql('small',
		"select sparse_import_file('$name', '" . data_file($name) . "', '{$list}')");
	is(sha256_of_version($node, $name, 'small'), sha256_of_file(data_file($name)),
		"$name comes back from small chunks");
}

# Blocks of the buffer cache that a query touches, in a session that has run it before.
sub blocks
{
	my ($query) = @_;
	my $plan = $node->safe_psql('small', "create temporary table warm as $query; explain (analyze, buffers, format json) $query");
	my ($hit) = $plan =~ /"Shared Hit Blocks": (\d+)/;
	my ($read) = $plan =~ /"Shared Read Blocks": (\d+)/;
	return $hit + $read;
}
my $tensor = "'mini-finetune', 'model.embed_tokens.weight'";
my $whole = blocks("select sparse_tensor($tensor)");
note("the tensor takes $whole blocks, a row ", blocks("select sparse_slice($tensor, 500, 1)"));
cmp_ok(4 * blocks("select sparse_slice($tensor, 500, 1)"), '<', $whole, 'a slice reads the chunks that hold it, not the tensor');
cmp_ok(4 * blocks("select sparse_read('mini-finetune', 'mini-finetune.safetensors', 500000, 1000)"),
	'<', $whole, 'and so does a range of bytes');

# Whether a file is new is asked of an index, not of each of its copies, in this version or in others.
$node->safe_psql('small', q{
	insert into sparse.version (id, name, revision, family, state, content_sha256)
	select n, 'copy ' || n, 1, (select min(id) from sparse.family), 'ready', sha256(n::text::bytea) from generate_series(100000, 120000) n;
	insert into sparse.file (version, ordinal, path, format, bytes, sha256, object, object_bytes)
	select v.id, n, 'copy ' || n, 'bytes', 10, sha256('\x02000000000000007b7d'), 1, 10
	from sparse.version v, generate_series(0, case v.id when 100000 then 20000 else 0 end) n where v.id >= 100000;
	analyze sparse.file});
blocks("select sparse_import_bytes('x', '\\x02000000000000007b7d')");
my $import = blocks("select sparse_import_bytes('y' || clock_timestamp(), '\\x02000000000000007b7d')");
note("an import of what has 40,000 copies takes $import blocks");
cmp_ok($import, '<', 500, 'an import of what has 40,000 copies looks at a few of them');
is($node->safe_psql('small', "select unique_file_bytes from sparse.version where name = 'x'"), '0', 'and knows that it is not new');

# ---- names in another encoding than the database's ----

sub model_of_one_byte
{
	my ($name) = @_;
	my $header = qq({"$name":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}});
	return '\x' . unpack 'H*', pack('Q<', length $header) . $header . 'x';
}
$node->safe_psql('postgres', "create database latin encoding 'LATIN1' locale 'C' template template0");
$node->safe_psql('latin', 'create extension sparse; select sparse_create_store()');
my $umlaut = model_of_one_byte("gr\xc3\xb6\xc3\x9fe");
my $chinese = model_of_one_byte("\xe4\xb8\xad");
$node->safe_psql('latin', "select sparse_import_bytes('latin', '$umlaut')");
is($node->safe_psql('latin', "select name = convert_from('\\x6772f6dfe5', 'LATIN1') or name = convert_from('\\x6772f6df65', 'LATIN1') from sparse_tensors('latin')"),
	't', 'names of tensors are in the encoding of the database');
is($node->safe_psql('latin', "select string_agg(p, '') = '$umlaut' from sparse_reconstruct('latin') p"),
	't', 'while the header stays what it was');
my (undef, undef, $no_equivalent) = $node->psql('latin', "select sparse_import_bytes('chinese', '$chinese')");
like($no_equivalent, qr/has no equivalent in encoding "LATIN1"/, 'a name that the encoding cannot hold is an error');
like($no_equivalent, qr/CONTEXT: .*tensor 1\b.* of file "model.safetensors"/, 'which says of which tensor');

# A tensor of a data file.
sub tensor_in
{
	my ($file) = @_;
	sql("select sparse_import_file('$file', '" . data_file($file) . "')");
	return sql("select name from sparse_tensors('$file') limit 1");
}

# ---- a folder, as the hub's tools lay it out ----

my $base = data_file('mini-base');
my $cache = "$folder/cache";
write_file("$cache/snapshot/config.json", '{"model_type": "llama"}');
write_file("$cache/snapshot/tokenizer.json", join ' ', 1 .. 300_000);
write_file("$cache/snapshot/empty.txt", '');
write_file("$cache/snapshot/.gitattributes", '*.safetensors filter=lfs');
write_file("$cache/snapshot/.git/HEAD", 'ref: refs/heads/main');
write_file("$cache/snapshot/original/deep/params.bin", "\0\1\2" x 1000);
write_file("$cache/snapshot/.private/key", 'secret');
symlink $base, "$cache/snapshot/model.safetensors" or die $!;
symlink "$cache/snapshot/original", "$cache/snapshot/elsewhere" or die $!;

my ($code, undef, $notices) =
  $node->psql('postgres', "select sparse_import_file('hub/model', '$cache/snapshot', '{mini-base}')");
is($code, 0, 'a folder is imported');
like($notices, qr/skipping ".*\.private": its name begins with a dot/, 'a hidden folder is passed over, and that is said');
unlike($notices, qr/\.git"/, '... but of those of tools');
my %expected = map { $_ => "$cache/snapshot/$_" }
  ('.gitattributes', 'config.json', 'elsewhere/deep/params.bin', 'empty.txt', 'model.safetensors', 'original/deep/params.bin', 'tokenizer.json');
is(sql("select string_agg(path, ' ' order by ordinal) from sparse_files('hub/model')"),
	join(' ', sort keys %expected),
	'its files are listed in order of path, those of linked folders too, without those of hidden ones');
for my $path (sort keys %expected)
{
	is(sha256_of_version_file('hub/model', $path), sha256_of_file($expected{$path}),
		"$path comes back");
}
is( sql("select new_bytes < 3000000 from sparse.version where name = 'hub/model'"), 't',
	'tensors that stand in the store already are not stored again');
like(failure("select sparse_reconstruct('hub/model')"),
	qr/has several files.*sparse_files/s, 'a version of several files is not one stream, and the error says what to do');
like(failure("select sparse_reconstruct_file('hub/model', '../config.json')"),
	qr/has no file/, 'a path that is not in the version is an error');

write_file("$cache/snapshot/config.json", '{"model_type": "llama", "vocab_size": 1024}');
sql("select sparse_import_file('hub/model', '$cache/snapshot')");
is( sql("select revision, new_objects, files from sparse.version where name = 'hub/model' order by id desc limit 1"),
	'2|1|7', 'a folder of which one file changed is a new revision with one new object');

# ---- what a folder says of its model ----

sub metadata_of_configs
{
	my ($name, $given, %content) = @_;
	write_file("$folder/configs/$name/$_", $content{$_}) for keys %content;
	my ($rc, undef, $notices) = $node->psql('postgres',
		"select sparse_import_file('configs/$name', '$folder/configs/$name', metadata => " . ($given ? "'$given'" : "'{}'") . ')');
	return ($rc == 0 ? sql("select metadata from sparse.version where name = 'configs/$name'") : 'failed', $notices);
}

my @configs = (
	[ 'all', '', { 'config.json' => '{"model_type": "llama"}', 'generation_config.json' => '{"top_k": 5}', 'quantize_config.json' => '{"bits": 4}' },
		'{"config": {"model_type": "llama"}, "generation_config": {"top_k": 5}, "quantization_config": {"bits": 4}}', 'configs become metadata' ],
	[ 'given', '{"config": {"model_type": "mine"}, "license": "mit"}', { 'config.json' => '{"model_type": "llama"}' },
		'{"config": {"model_type": "mine"}, "license": "mit"}', 'what is given by hand wins' ],
	[ 'given-else', '{"license": "mit"}', { 'config.json' => '{"a": 1}', 'README.md' => 'x' }, '{"config": {"a": 1}, "license": "mit"}', 'and stands beside them' ],
	[ 'given-array', '[1]', { 'config.json' => '{"a": 1}' }, '[1]', 'metadata of another form is left alone' ],
	[ 'two', '', { 'quantization_config.json' => '{"a": 1}', 'quant_config.json' => '{"a": 2}' }, '{"quantization_config": {"a": 1}}', 'of two files for one key the first counts' ],
	[ 'below', '', { 'text_encoder/config.json' => '{"a": 1}', 'README.md' => 'x' }, '{}', 'a config of a part is not that of the whole' ]);
for my $case (@configs)
{
	my ($name, $given, $content, $expected, $sentence) = @$case;
	is((metadata_of_configs($name, $given, %$content))[0], $expected, $sentence);
}
my %unfit = (
	'not-json' => '{"a": ', 'an-array' => '[1]', 'a-number' => '1', 'empty' => '', 'zero-byte' => '{"a": "\u0000"}', 'huge-number' => '{"a": 1e999}',
	'tiny-number' => '{"a": 1e-20000}', 'no-utf8' => "{\"a\": \"\xff\"}", 'lone-surrogate' => '{"a": "\ud800"}',
	'deep' => '[' x 5000, 'twice' => '{} {}', 'large' => '{"a": "' . 'x' x (1 << 20) . '"}', 'nan' => '{"a": NaN}');
for my $name (sort keys %unfit)
{
	my ($metadata, $notices) = metadata_of_configs($name, '', 'config.json' => $unfit{$name});
	is($metadata, '{}', "$name: a config that jsonb cannot hold is stored and is no metadata");
	like($notices, qr/"config.json" does not become metadata: \w/, '... and that is said');
}

# ---- shards and their index ----

my $shards = "$folder/shards";
make_path("$shards/more");
symlink $base, "$shards/model-00001-of-00002.safetensors" or die $!;
symlink data_file('mini-lora-adapter'), "$shards/more/model-00002-of-00002.safetensors" or die $!;
write_file("$shards/unrelated.txt", 'not of the model');
write_file("$shards/model.safetensors.index.json",
	'{"metadata": {"total_size": 1}, "weight_map": {"model.embed_tokens.weight": "model-00001-of-00002.safetensors", "model.norm.weight": "model-00001-of-00002.safetensors", "'
	  . tensor_in('mini-lora-adapter') . '": "more/model-00002-of-00002.safetensors"}}');
sql("select sparse_import_file('sharded', '$shards/model.safetensors.index.json')");
is( sql("select string_agg(path, ' ' order by ordinal) from sparse_files('sharded')"),
	'model-00001-of-00002.safetensors model.safetensors.index.json more/model-00002-of-00002.safetensors',
	'an index brings itself and its shards, and nothing else');
is(sha256_of_version_file('sharded', 'more/model-00002-of-00002.safetensors'),
	sha256_of_file(data_file('mini-lora-adapter')), 'a shard comes back');

symlink $base, "$shards/copy.safetensors" or die $!;
write_file("$shards/twice.index.json",
	'{"weight_map": {"model.embed_tokens.weight": "model-00001-of-00002.safetensors", "model.norm.weight": "copy.safetensors"}}');
sql("select sparse_import_file('twice', '$shards/twice.index.json')");
like(failure("select sparse_tensor('twice', 'model.embed_tokens.weight')"),
	qr/several files of version "twice\@1" have a tensor/, 'a tensor name that stands in two files is ambiguous');

for my $case (
	[ '{"weight_map": {"a": "../cache/snapshot/config.json"}}', qr/invalid shard/, 'above its folder' ],
	[ '{"weight_map": {"a": "/etc/passwd"}}', qr/invalid shard/, 'at an absolute path' ],
	[ '{"weight_map": {"a": "more/../../x"}}', qr/invalid shard/, 'by way of another folder' ],
	[ '{"weight_map": {"a": ""}}', qr/invalid shard/, 'without a name' ],
	[ '{"weight_map": {"a": null}}', qr/invalid shard/, 'that is null' ],
	[ '{"weight_map": {"a": "missing.safetensors"}}', qr/could not stat/, 'that is missing' ],
	[ '{"weight_map": {}}', qr/names no shards/, 'that it does not name' ],
	[ '{"weights": 1}', qr/names no shards/, 'without a weight_map' ],
	[ '{"weight_map": {"a": "copy.safetensors"}}', qr/index "bad.index.json" looks for tensor "a" in "copy.safetensors", which has none/, 'that has not the tensor' ],
	[ '{"weight_map": {"model.norm.weight": "copy.safetensors", "model.norm.weight": "model-00001-of-00002.safetensors"}}',
		qr/names tensor "model.norm.weight" twice/, 'of a tensor that it names twice' ],
	[ '{"weight_map": {"a": {"b": "copy.safetensors"}}}', qr/invalid shard/, 'that is an object' ],
	[ '{"weight_map": ["copy.safetensors"]}', qr/is not an object/, 'in a list' ],
	[ 'not JSON', qr/is not JSON/, 'when it is not JSON' ],
	[ "{}\0", qr/is not JSON/, 'when it holds a NUL' ])
{
	my ($index, $error, $what) = @$case;
	write_file("$shards/bad.index.json", $index);
	like(failure("select sparse_import_file('bad', '$shards/bad.index.json')"),
		$error, "an index is refused for a shard $what");
}

symlink $base, $node->data_dir . '/relative.safetensors' or die $!;
like(failure("select sparse_import_file('bad', 'relative.safetensors')"), qr/path must be absolute/, 'a relative path is not imported');
like(failure("select sparse_export('mini-base', 'relative-too.safetensors')"), qr/path must be absolute/, 'nor exported to');

# ---- what is not whole ----

my $pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" . ('4d' x 32) . "\nsize 12345\n";
for my $case (
	[ 'shard', { 'model.safetensors.index.json' => '{"weight_map": {"model.norm.weight": "a.safetensors", "x": "b.safetensors"}}' },
		qr/index "model.safetensors.index.json" names a shard that is not there: "b.safetensors"/ ],
	[ 'tensor', { 'sub/model.safetensors.index.json' => '{"weight_map": {"x": "a.safetensors"}}', 'sub/a.safetensors' => 'link' },
		qr/index "sub\/model.safetensors.index.json" looks for tensor "x" in "sub\/a.safetensors", which has none/ ],
	[ 'end', { 'model.safetensors.index.json' => '{"weight_map": {"model.norm' }, qr/index "model.safetensors.index.json" is not JSON/ ],
	[ 'weights', { 'b.safetensors' => $pointer }, qr/"b.safetensors" is a Git-LFS pointer/ ],
	[ 'tokenizer', { 'tokenizer.json' => $pointer }, qr/"tokenizer.json" is a Git-LFS pointer/ ],
	[ 'way out', { 'sub/up' => 'loop' }, qr/link ".*sub\/up" leads to a folder that it lies in/ ],
	[ 'pipe', { 'pipe' => 'fifo' }, qr/"[^"]*\/pipe" is not a regular file/ ])
{
	my ($what, $files, $error) = @$case;
	my $place = "$folder/lacks-$what";
	make_path("$place/sub");
	symlink $base, "$place/a.safetensors" or die $!;
	for my $path (keys %$files)
	{
		if ($files->{$path} eq 'link') { symlink $base, "$place/$path" or die $! }
		elsif ($files->{$path} eq 'loop') { symlink '..', "$place/$path" or die $! }
		elsif ($files->{$path} eq 'fifo') { POSIX::mkfifo("$place/$path", 0600) or die $! }
		else { write_file("$place/$path", $files->{$path}) }
	}
	like(failure("select sparse_import_file('bad', '$place')"), $error, "a folder that lacks its $what is refused by name");
}
make_path("$folder/no-bin");
symlink $base, "$folder/no-bin/model.safetensors" or die $!;
write_file("$folder/no-bin/pytorch_model.bin.index.json", '{"weight_map": {"x": "pytorch_model-1.bin"}}');
(undef, undef, $notices) = $node->psql('postgres', "select sparse_import_file('no-bin', '$folder/no-bin')");
like($notices, qr/NOTICE: .*none of the files is there that index "pytorch_model.bin.index.json" names/, 'an index of a form that was not downloaded is kept, and that is said');
like(failure("select sparse_import_bytes('bad', '$pointer')"), qr/"model.safetensors" is a Git-LFS pointer/, 'bytes that are a pointer are refused');

sub upload
{
	my ($name, %file) = @_;
	my $files = join ', ', map { my $bytes = $file{$_}; $bytes =~ s/'/''/g;
		sprintf '{"path": "%s", "size": %d, "sha256": "%s"}', $_, length $file{$_}, Digest::SHA::sha256_hex($file{$_}) } sort keys %file;
	my $id = sql("select sparse_begin('$name', '[$files]')");
	sql("select sparse_write($id, null, 0, convert_to(\$q\$$file{$_}\$q\$, 'UTF8'), '$_')") for sort keys %file;
	my $error = failure("select sparse_commit($id)");
	sql("select sparse_abort($id)");
	return $error;
}
like(upload('bad', 'model.safetensors.index.json' => '{"weight_map": {"x": "b.safetensors"}}', 'c.json' => '{}'),
	qr/names a shard that is not there: "b.safetensors"/, 'an upload of an index without its shard is not made ready');
like(upload('bad', 'b.safetensors' => $pointer), qr/"b.safetensors" is a Git-LFS pointer/, 'nor one of a pointer');

make_path("$folder/empty");
like(failure("select sparse_import_file('bad', '$folder/empty')"), qr/holds no files/, 'an empty folder is refused');
write_file("$folder/dangling/config.json", '{}');
symlink "$folder/nowhere", "$folder/dangling/model.safetensors" or die $!;
like(failure("select sparse_import_file('bad', '$folder/dangling')"),
	qr/could not follow link/, 'a folder with a link that leads nowhere is refused');
like(failure("select sparse_import_file('bad', '$cache/snapshot/config.json')"),
	qr/no safetensors, GGUF or PyTorch file/, 'a single file of another kind is refused');
is(sql("select count(*) from sparse.version where name = 'bad'"), '0', 'nothing is left of what was refused');

# what a message would have to quote must be text of the database
POSIX::mkfifo("$folder/empty/pipe\xff", 0600) or die $!;
my (undef, undef, $unprintable) = $node->psql('postgres', "select sparse_import_file('bad', '$folder/empty')");
like($unprintable, qr/ERROR: .*name .* not valid in the encoding/, 'a folder with a name in another encoding is refused');
unlike($unprintable, qr/NOTICE|\xff/, 'before any message quotes that name');

make_path("$folder/many");
for my $n (0 .. 50_000) { open my $file, '>', "$folder/many/$n" or die $! }
like(failure("select sparse_import_file('bad', '$folder/many')"), qr/at most 50000 files/, 'a folder of too many files is refused, with the limit');
unlink "$folder/many/0";
like(failure("select sparse_import_file('bad', '$folder/many', '{no such}')"), qr/version "no such" does not exist/, 'one of fewer is not');
is(sql("select count(*) from sparse.version where name = 'bad'"), '0', 'nothing is left of these either');

# ---- a file that changes between the two passes of its import ----

# (the tensor that changes must be new: what the store has is not read again)
sub poke
{
	my ($path, $byte) = @_;
	open my $file, '+<:raw', $path or die "$path: $!";
	seek $file, -7, 2;
	print $file $byte;
	close $file or die "$path: $!";
}
write_file("$folder/changing.safetensors", slurp_file($base));
poke("$folder/changing.safetensors", 'a');
my ($in, $out, $err) = ("begin; select sparse_import_bytes('contended', '\\x02000000000000007b7d');\n", '', '');
my $holder = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], \$in, \$out, \$err);
$holder->pump until $out =~ /\d+\n/;
my ($error_in, $error_out, $error_err) = ('', '', '');
my $importer = IPC::Run::start(
	[
		'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
		"select sparse_import_file('contended', '$folder/changing.safetensors')"
	],
	\$error_in, \$error_out, \$error_err);
$node->poll_query_until('postgres', "select exists (select from pg_locks where locktype = 'object' and not granted)")
  or die 'the second import does not wait for the first';
poke("$folder/changing.safetensors", 'b');
$in .= "rollback;\n\\q\n";
$holder->finish;
$importer->finish;
like($error_err, qr/changed while it was imported/, 'a file that changes while it is imported is refused');
is(sql("select count(*) from sparse.version where name = 'contended'"), '0', 'and not stored');

# ---- export ----

is(sql("select sparse_export('main-finetune', '$folder/out.safetensors')"),
	-s data_file('main-finetune'), 'a version of one file is exported to that path');
is(sha256_of_file("$folder/out.safetensors"), sha256_of_file(data_file('main-finetune')), 'and is the file');
is((stat "$folder/out.safetensors")[2] & 0777, 0644, 'others can read it');
sql("select sparse_export('main-base', '$folder/out.safetensors')");
is(sha256_of_file("$folder/out.safetensors"), sha256_of_file(data_file('main-base')), 'a file is replaced');
like(failure("select sparse_export('main-base', '$folder/empty')"), qr/not a regular file/, 'a directory is not');
sql("select sparse_export('hub/model\@1', '$folder/exported')");
for my $path (grep { $_ ne 'config.json' } sort keys %expected)
{
	is(sha256_of_file("$folder/exported/$path"), sha256_of_file($expected{$path}), "$path is exported");
}
is(slurp_file("$folder/exported/config.json"), '{"model_type": "llama"}', 'as it was in that revision');
like(failure("select sparse_export('hub/model', '$folder/exported')"),
	qr/is not empty/, 'several files go only into an empty directory');
sql("update sparse.file set sha256 = sha256('') where version = sparse_version_id('mini-base') and ordinal = 0");
like(failure("select sparse_export('mini-base', '$folder/corrupt.safetensors')"), qr/is corrupt/, 'a corrupt file is not exported');
is_deeply([ grep { /corrupt|sparse-/ } map { basename($_) } glob "$folder/{,.}*" ], [], 'nor is anything left of it');
like(failure("select sparse_export('main-base', '/nonexistent/x')"), qr/could not create file/, 'nor one into a folder that is not there');

for my $length (236, 237, 240, 246, 255)
{
	my $name = 'n' x $length;
	sql("select sparse_export('main-base', '$folder/$name')");
	is(sha256_of_file("$folder/$name"), sha256_of_file(data_file('main-base')), "a name of $length bytes can be written");
	unlink "$folder/$name";
}
is_deeply([ glob "$folder/.sparse-*" ], [], 'and no temporary file stays');

$node->stop;
done_testing();
