# GGUF files by every road of the client: push, pull whole, with a relative at hand and by tensor, compress,
# estimate. Whatever lies between the tensors comes back, too.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = client_node(sparse_node('gguf'));
my $folder = PostgreSQL::Test::Utils::tempdir();

sub scratch { return "$folder/$_[0]" }

sub text_of { return pack('Q<', length $_[0]) . $_[0] }

sub padded
{
	my ($bytes, $alignment, $with) = @_;
	return $bytes . $with x (-length($bytes) % $alignment);
}

# A file of these tensors: name, dimensions with the innermost first, type, bytes. Of an alignment, a byte to pad with, a tail.
sub write_gguf
{
	my ($path, $alignment, $with, $tail, @tensors) = @_;
	my $head = 'GGUF' . pack('L<Q<Q<', 3, scalar @tensors, 3) . text_of('general.architecture') . pack('L<', 8) . text_of('llama')
	  . text_of('general.alignment') . pack('L<L<', 4, $alignment)
	  . text_of('tokenizer.ggml.tokens') . pack('L<L<Q<', 9, 8, 1000) . join '', map { text_of("token $_") } 1 .. 1000;
	my $data = '';
	for (@tensors)
	{
		my ($name, $dimensions, $type, $bytes) = @$_;
		$data = padded($data, $alignment, $with);
		$head .= text_of($name) . pack('L<Q<*', scalar @$dimensions, @$dimensions) . pack('L<Q<', $type, length $data);
		$data .= $bytes;
	}
	return write_whole($path, padded($head, $alignment, "\0") . $data . $tail);
}

# Bytes without a pattern, the same in every run.
my $state = 1;

sub noise
{
	my ($count) = @_;
	return join '', map { $state = ($state * 1103515245 + 12345) & 0x7fffffff; chr($state >> 16 & 255) } 1 .. $count;
}

# A few of its bytes are others.
sub nudged
{
	my ($bytes) = @_;
	for (my $at = 100; $at < length $bytes; $at += 3000)
	{
		substr($bytes, $at, 1) = chr(ord(substr $bytes, $at, 1) ^ 1);
	}
	return $bytes;
}

my @base = (
	[ 'token_embd.weight', [ 64, 700 ], 1, noise(64 * 700 * 2) ],
	[ 'blk.0.ffn_up.weight', [ 256, 300 ], 12, noise(144 * 300) ],
	[ 'blk.0.attn_q.weight', [ 64, 999 ], 8, noise(2 * 34 * 999) ],
	[ 'odd', [3], 0, noise(12) ],
	[ 'blk.0.attn_norm.weight', [64], 0, noise(256) ]);
my @finetune = map { [ $_->[0], $_->[1], $_->[2], nudged($_->[3]) ] } @base;
my %made = (
	'base' => write_gguf(scratch('base.gguf'), 32, "\0", '', @base),
	'finetune' => write_gguf(scratch('finetune.gguf'), 32, "\0", '', @finetune),
	'padded' => write_gguf(scratch('padded.gguf'), 64, "\7", 'a tail', @base),
	'other' => write_gguf(scratch('other.gguf'), 64, "\7", 'another', @finetune));
my %base_of = ('finetune' => 'base', 'other' => 'padded');

for my $name (qw(base finetune padded other))
{
	my $of = $base_of{$name};
	my $answer = client_json("$name is pushed", 'push', $made{$name}, $name, $of ? ('--parent', $of, '--have', $made{$of}) : ());
	cmp_ok($answer->{sent_bytes}, '<', .1 * $answer->{raw_bytes}, '... and little travels') if $of;
	client_works("$name is pulled", 'pull', $name, '-o', scratch('out'));
	is_file(scratch('out'), $made{$name}, '... and is the file');
	unlink scratch('out');
	next unless $of;
	my $received = client_receives("$name is pulled with its base at hand", 'pull', $name, '-o', scratch('out'), '--have', $made{$of});
	is_file(scratch('out'), $made{$name}, '... and is the file');
	cmp_ok($received, '<', .25 * -s $made{$name}, '... of which little travels');
	unlink scratch('out');
}
is(psql_one(q{select string_agg(dtype || ' ' || shape::text, ' ' order by name) from sparse_tensors('padded')}),
	'F32 {64} Q8_0 {999,64} Q4_K {300,256} F32 {3} F16 {700,64}', 'the store knows the tensors');
is(psql_one('select count(*) from sparse.version v, sparse_verify(v.id)'), '0', 'the server finds no problem in any of them');
is(psql_one(q{select count(distinct t.object) from sparse.tensor t join sparse.version v on v.id = t.version where v.name in ('base', 'padded')}), '5',
	'tensors in files of other alignments are the same');

# ---- by tensor ----

client_works('tensors are pulled', 'pull', 'base', '-t', 'blk.0.attn_q.weight', '-t', 'token_embd.weight', '-o', scratch('some.safetensors'));
client_works('... as a safetensors file', 'push', scratch('some.safetensors'), 'some');
is(psql_one(q{select string_agg(dtype || ' ' || shape::text, ' ' order by name) from sparse_tensors('some')}),
	'U8 {999,68} F16 {700,64}', '... with rows of bytes where safetensors has no such type');
is(psql_one(q{select sparse_tensor('some', 'blk.0.attn_q.weight') = sparse_tensor('base', 'blk.0.attn_q.weight')}), 't', '... and the same bytes');

# ---- on the server, and in files ----

for my $name (sort keys %made)
{
	like(psql_one("select sparse_import_file('imported/$name', '$made{$name}')"), qr/^\d+$/, "$name is imported");
	is(psql_one("select count(distinct content_sha256) from sparse.version where name in ('imported/$name', '$name')"),
		'1', '... and is what was pushed');
	my @against = $base_of{$name} ? $made{ $base_of{$name} } : '--no-base';
	client_works("$name is compressed", 'compress', '-q', @against, $made{$name}, '-o', scratch('delta'));
	client_works('... and rebuilt', 'reconstruct', '-q', @against, scratch('delta'), '-o', scratch('out'));
	is_file(scratch('out'), $made{$name}, '... and is the file');
	like(client_works('... of its kind', 'info', scratch('delta')), qr/ bytes, gguf, /, '... as info says');
	client_works('... and estimated', 'estimate', @against, $made{$name});
	unlink scratch('out'), scratch('delta');
}

# ---- malformed ----

mkdir scratch('folder');
write_whole(scratch('folder/config.json'), '{}');
write_whole(scratch('folder/torn.gguf'), substr(read_whole($made{base}), 0, 100_000));
write_whole(scratch('folder/unnamed'), read_whole($made{base}));
my ($out, $notice);
$node->psql('postgres', "select sparse_import_file('folder', '" . scratch('folder') . "')", stdout => \$out, stderr => \$notice);
like($notice, qr/torn.gguf" is not a valid GGUF file\n.*kept as bytes/, 'a torn file in a folder is kept as bytes, and that is said');
is(psql_one(q{select string_agg(path || ' ' || format, ', ' order by path) from sparse.file where version = sparse_version_id('folder')}),
	'config.json bytes, torn.gguf bytes, unnamed gguf', '... and a file is known by its content');
$node->psql('postgres', "select sparse_import_file('torn', '" . scratch('folder/torn.gguf') . "')", stderr => \$notice);
like($notice, qr/ERROR:.*is not a valid GGUF file/, 'a torn file that is asked for is refused');
client_fails(1, 'not a valid GGUF file', '... by the client, too', 'push', scratch('folder'), 'torn');

$node->stop;
done_testing();
