# PyTorch files by every road: import, push, pull whole, with a relative at hand and by tensor, compress, estimate. The pickle is read and never
# run; what is not understood is kept as bytes, or refused by name.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;
use TorchFile;

my $node = client_node(sparse_node('pytorch'));
my $folder = PostgreSQL::Test::Utils::tempdir();

sub scratch { return "$folder/$_[0]" }

# Bytes without a pattern, the same in every run.
my $state = 1;

sub noise
{
	my ($count) = @_;
	return join '', map { $state = ($state * 1103515245 + 12345) & 0x7fffffff; chr($state >> 16 & 255) } 1 .. $count;
}

# Values near 1, in bfloat16.
sub weights { return join '', map { pack 'S<', 0x3f80 ^ ord $_ } split //, noise($_[0]) }

# One in a hundred of them is another.
sub tuned
{
	my ($bytes) = @_;
	substr($bytes, 200 * $_, 1) ^= "\1" for 0 .. length($bytes) / 200 - 1;
	return $bytes;
}

sub whole { my ($key, $type, $sizes) = @_; my $n = 1; my @strides = map { my $s = $n; $n *= $_; $s } reverse @$sizes; return pickled_tensor($key, $type, $n, 0, $sizes, [ reverse @strides ]) }

sub safetensors
{
	my (@tensors) = @_;
	my ($data, @entries) = ('');
	for (@tensors)
	{
		my ($name, $dtype, $shape, $bytes) = @$_;
		push @entries, sprintf '"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}', $name, $dtype, join(',', @$shape), length $data, length($data) + length $bytes;
		$data .= $bytes;
	}
	my $header = '{' . join(',', @entries) . '}';
	return pack('Q<', length $header) . $header . $data;
}

# ---- a state dict, its fine-tune, the same weights as safetensors, a checkpoint of the training ----

my %bytes = (embed => weights(64 * 300), q => weights(64 * 64), norm => pack 'f<64', map { 1 + $_ / 64 } 1 .. 64);
my $model = [ 'ordered', 'model.embed.weight', whole('0', 'BFloat16', [ 300, 64 ]), 'model.q.weight', whole('1', 'BFloat16', [ 64, 64 ]),
	'model.norm.weight', whole('2', 'Float', [64]), 'lm_head.weight', whole('0', 'BFloat16', [ 300, 64 ]) ];
my @storages = (0 => $bytes{embed}, 1 => $bytes{q}, 2 => $bytes{norm});
my @tuned = (0 => tuned($bytes{embed}), 1 => tuned($bytes{q}), 2 => $bytes{norm});
my $optimizer = [ 'dict', 'state', [ 'dict', 0, [ 'dict', 'step', pickled_tensor('5', 'Float', 1, 0, [], []), 'exp_avg', whole('6', 'Float', [ 64, 64 ]) ] ],
	'param_groups', [ 'list', [ 'dict', 'lr', 1, 'betas', [ 'list', 1, 2 ] ] ] ];
my $transposed = pickled_tensor('1', 'BFloat16', 4096, 0, [ 64, 64 ], [ 1, 64 ]);
my $checkpoint = [ 'dict', 'epoch', 3, 'args', pickled_call('argparse', 'Namespace'), 'model', $model, 'optimizer', $optimizer,
	'halves', [ 'list', pickled_tensor('7', 'Half', 200, 0, [100], [1]), pickled_tensor('7', 'Half', 200, 50, [100], [1]), pickled_tensor('7', 'Half', 200, 100, [100], [1]) ],
	'spaced', pickled_tensor('8', 'Byte', 9000, 0, [3000], [3]), 'transposed', pickled_tensor('9', 'BFloat16', 1200, 0, [ 30, 40 ], [ 1, 30 ]),
	'wrapped', pickled_call('torch._utils', '_rebuild_parameter', whole('10', 'Float', [8]), 1) ];
my @more = (5 => pack('f<', 7), 6 => noise(64 * 64 * 4), 7 => weights(200), 8 => noise(9000), 9 => weights(1200), 10 => pack 'f<8', 1 .. 8);
my %made = (
	base => write_whole(scratch('base.bin'), torch_archive(torch_pickle($model), \@storages)),
	finetune => write_whole(scratch('finetune.pt'), torch_archive(torch_pickle($model), \@tuned, prefix => 'finetune')),
	large => write_whole(scratch('large.bin'), torch_archive(torch_pickle($model), \@storages, large => 1)),
	plain => write_whole(scratch('plain.bin'), torch_archive(torch_pickle($model), \@storages, plain => 1)),
	checkpoint => write_whole(scratch('checkpoint.pt'), torch_archive(torch_pickle($checkpoint), [ @storages, @more ])),
	same => write_whole(scratch('same.safetensors'), safetensors([ 'model.embed.weight', 'BF16', [ 300, 64 ], $bytes{embed} ],
			[ 'model.q.weight', 'BF16', [ 64, 64 ], $bytes{q} ], [ 'model.norm.weight', 'F32', [64], $bytes{norm} ])));
my %base_of = (finetune => 'base', large => 'base', plain => 'base', checkpoint => 'base', same => 'base');
my %travels = (finetune => .1, large => .05, plain => .05, same => .01, checkpoint => .6);

for my $name (qw(base finetune large plain checkpoint same))
{
	my $of = $base_of{$name};
	my $answer = client_json("$name is pushed", 'push', $made{$name}, $name, $of ? ('--parent', $of, '--have', $made{$of}) : ());
	cmp_ok($answer->{sent_bytes}, '<', $travels{$name} * $answer->{raw_bytes}, '... and little travels') if $of;
	client_works("$name is pulled", 'pull', $name, '-o', scratch('out'));
	is_file(scratch('out'), $made{$name}, '... and is the file');
	unlink scratch('out');
	next unless $of;
	client_works("$name is pulled with its base at hand", 'pull', $name, '-o', scratch('out'), '--have', $made{$of});
	is_file(scratch('out'), $made{$name}, '... and is the file');
	unlink scratch('out');
}
is(psql_one(q{select string_agg(name || ' ' || dtype || ' ' || shape::text, E'\n' order by first_byte) from sparse_tensors('base')}),
	"model.embed.weight BF16 {300,64}\nmodel.q.weight BF16 {64,64}\nmodel.norm.weight F32 {64}", 'the store knows the tensors, those of one storage by the first name');
is(psql_one(q{select string_agg(name || ' ' || dtype || ' ' || shape::text, E'\n' order by first_byte) from sparse_tensors('checkpoint') where name !~ '^model'}),
	join("\n", 'optimizer.state.0.step F32 {}', 'optimizer.state.0.exp_avg F32 {64,64}', 'halves.0 F16 {100}', 'halves.2 F16 {100}', 'data/8 U8 {9000}',
		'transposed BF16 {40,30}', 'wrapped F32 {8}'),
	'of a checkpoint, too: each byte is one tensor\'s, a transposed matrix as it lies, and what lies otherwise by its storage');
is(psql_one(q{select count(*) from sparse.version v, sparse_verify(v.id)}), '0', 'the server finds no problem in any of them');
is(psql_one(q{select count(distinct t.object) from sparse.tensor t join sparse.version v on v.id = t.version where v.name in ('base', 'large', 'plain', 'same')}), '3',
	'the same weights in other containers are the same objects');
is(psql_one(q{select sparse_tensor('base', 'model.q.weight') = sparse_tensor('same', 'model.q.weight')}), 't', '... and the same bytes');
is(psql_one(q{select count(*) from sparse_compare('base', 'same') where changed <> 0}), '0', '... and compare as such');

# ---- by tensor ----

client_works('tensors are pulled', 'pull', 'checkpoint', '-t', 'transposed', '-t', 'model.model.norm.weight', '-o', scratch('some.safetensors'));
client_works('... as a safetensors file', 'push', scratch('some.safetensors'), 'some');
is(psql_one(q{select string_agg(dtype || ' ' || shape::text, ' ' order by name) from sparse_tensors('some')}), 'F32 {64} BF16 {40,30}', '... of the same shapes');

# ---- on the server, and in files ----

for my $name (sort keys %made)
{
	like(psql_one("select sparse_import_file('imported/$name', '$made{$name}')"), qr/^\d+$/, "$name is imported");
	is(psql_one("select count(distinct content_sha256) from sparse.version where name in ('imported/$name', '$name')"), '1', '... and is what was pushed');
	like(psql_one("select stored_bytes from sparse_estimate_file('$made{$name}', '{}')"), qr/^\d+$/, '... and estimated by the server');
	my @against = $base_of{$name} ? $made{ $base_of{$name} } : '--no-base';
	client_works("$name is compressed", 'compress', '-q', @against, $made{$name}, '-o', scratch('delta'));
	client_works('... and rebuilt', 'reconstruct', '-q', @against, scratch('delta'), '-o', scratch('out'));
	is_file(scratch('out'), $made{$name}, '... and is the file');
	like(client_works('... of its kind', 'info', scratch('delta')), qr/ bytes, pytorch, /, '... as info says') unless $name eq 'same';
	client_works('... and estimated', 'estimate', @against, $made{$name});
	unlink scratch('out'), scratch('delta');
}
psql_one("select sparse_import_bytes('bytes', pg_read_binary_file('$made{base}'))");
is(psql_one(q{select string_agg(path, ' ') from sparse_files('bytes')}), 'pytorch_model.bin', 'bytes that come without a path get that of the format');

# ---- shards ----

mkdir scratch('shards');
write_whole(scratch('shards/config.json'), '{}');
write_whole(scratch('shards/pytorch_model-1.bin'), torch_archive(torch_pickle([ 'ordered', @$model[ 1, 2, 7, 8 ] ]), [ @storages[ 0, 1 ] ]));
write_whole(scratch('shards/pytorch_model-2.bin'), torch_archive(torch_pickle([ 'ordered', @$model[ 3 .. 6 ] ]), [ @storages[ 2 .. 5 ] ]));
write_whole(scratch('shards/pytorch_model.bin.index.json'), '{"metadata":{},"weight_map":{' . join(',', map { qq("$_->[0]":"pytorch_model-$_->[1].bin") }
	[ 'model.embed.weight', 1 ], [ 'lm_head.weight', 1 ], [ 'model.q.weight', 2 ], [ 'model.norm.weight', 2 ]) . '}}');
client_works('shards with their index are pushed, two names of one tensor among them', 'push', scratch('shards'), 'shards', '--parent', 'base');
is(psql_one(q{select stored_bytes < 6000 from sparse.version where name = 'shards'}), 't', '... of which nothing but the pickles is new');
client_works('... pulled', 'pull', 'shards', '-o', scratch('pulled'));
is_file(scratch("pulled/pytorch_model-$_.bin"), scratch("shards/pytorch_model-$_.bin"), '... and are the files') for 1, 2;
like(psql_one("select sparse_import_file('imported/shards', '" . scratch('shards') . "')"), qr/^\d+$/, '... and imported');

# ---- what is not understood ----

my $shell = scratch('ran');
my %refused = (
	'deflated.bin' => [ torch_archive(torch_pickle($model), \@storages, deflate => '1'), 'storage "1" is compressed' ],
	'big.bin' => [ torch_archive(torch_pickle($model), \@storages, order => 'big'), 'of another byte order' ],
	'torn.bin' => [ substr(read_whole($made{base}), 0, 20000), 'does not end in a directory' ],
	'short.bin' => [ torch_archive(torch_pickle($model), [ @storages[ 0 .. 3 ], 2 => 'short' ]), 'storage "2" has 5 bytes, not 256' ],
	'lacking.bin' => [ torch_archive(torch_pickle($model), [ @storages[ 0 .. 3 ] ]), 'lacks storage "2"' ],
	'past.bin' => [ torch_archive(torch_pickle([ 'dict', 'a', pickled_tensor('0', 'BFloat16', 19200, 1, [ 300, 64 ], [ 64, 1 ]) ]), \@storages), 'past the end of its storage' ],
	'opcode.bin' => [ torch_archive("\x80\2\x82\1.", \@storages), 'opcode 130' ],
	'empty.bin' => [ torch_archive("\x80\2.", \@storages), 'stack runs empty' ],
	'twice.bin' => [ torch_archive(torch_pickle([ 'dict', 'a', whole('0', 'BFloat16', [ 300, 64 ]), 'a', whole('1', 'BFloat16', [ 64, 64 ]) ]), \@storages), 'stands there twice' ]);
for my $name (sort keys %refused)
{
	my ($content, $words) = @{ $refused{$name} };
	write_whole(scratch($name), $content);
	client_fails(1, "not a valid PyTorch file: .*$words", "$name is refused, and why is said", 'push', scratch($name), 'refused');
	my ($out, $error);
	$node->psql('postgres', "select sparse_import_file('refused', '" . scratch($name) . "')", stdout => \$out, stderr => \$error);
	like($error, qr/ERROR:.*is not a valid PyTorch file\n.*\Q$words\E/, '... by the server, too');
}
write_whole(scratch('call.bin'), torch_archive("\x80\2" . "cos\nsystem\n(X" . pack('L<', length "touch $shell") . "touch $shell" . 'tR.', []));
client_works('a pickle that calls something is stored', 'push', scratch('call.bin'), 'call');
like(psql_one("select sparse_import_file('call', '" . scratch('call.bin') . "')"), qr/^\d+$/, '... by the server, too');
ok(!-e $shell, '... and nothing is called');

mkdir scratch('folder');
write_whole(scratch('folder/config.json'), '{}');
write_whole(scratch('folder/pytorch_model.bin'), read_whole(scratch('deflated.bin')));
write_whole(scratch('folder/training_args.bin'), torch_archive("\x80\2ctransformers.training_args\nTrainingArguments\n)\x81}(X\2\0\0\0lrG" . 'x' x 8 . 'ub.', []));
write_whole(scratch('folder/unnamed'), read_whole($made{base}));
write_whole(scratch('folder/other.zip'), "PK\3\4" . "\0" x 100);
my ($out, $notice);
$node->psql('postgres', "select sparse_import_file('folder', '" . scratch('folder') . "')", stdout => \$out, stderr => \$notice);
like($notice, qr/pytorch_model.bin" is not a valid PyTorch file\n.*kept as bytes: storage "1" is compressed/, 'what is not understood in a folder is kept as bytes, and that is said');
is(psql_one(q{select string_agg(path || ' ' || format, ', ' order by path) from sparse.file where version = sparse_version_id('folder')}),
	'config.json bytes, other.zip bytes, pytorch_model.bin bytes, training_args.bin pytorch, unnamed pytorch', '... and a file is known by its content');
is(psql_one(q{select count(*) from sparse_verify('folder')}), '0', '... and all of it is sound');

$node->stop;
done_testing();
