# Models in and out over the wire: whatever is pushed comes back byte for byte, by
# whichever way; with a local copy of a relative little travels; what is no model is
# refused.
use strict;
use warnings;

use ClientTest;
use Digest::SHA qw(sha256_hex);
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = client_node(sparse_node('push_pull'));
my $folder = PostgreSQL::Test::Utils::tempdir();

sub scratch { return "$folder/$_[0]" }

# ---- every kind of file ----

my %base_of = (
	'main-base' => undef,
	'main-finetune' => 'main-base',
	'mini-base' => undef,
	'mini-finetune' => 'mini-base',
	'mini-finetune-light' => 'mini-base',
	'mini-longer-vocabulary' => 'mini-base',
	'mini-base-fp16' => undef,
	'mini-finetune-fp16' => 'mini-base-fp16',
	'mini-base-fp32' => 'mini-base',
	'mini-finetune-fp32' => 'mini-base-fp32',
	'mini-base-int8' => 'mini-base',
	'mini-lora-adapter' => undef);
my %sent_at_most = ('main-finetune' => .225, 'mini-finetune' => .24, 'mini-finetune-light' => .08, 'mini-longer-vocabulary' => .25);

for my $name (grep { !defined $base_of{$_} } sort keys %base_of)
{
	client_works("$name is pushed", 'push', data_file($name), "alone/$name");
}
for my $name (grep { defined $base_of{$_} } sort { ($a =~ /^mini-base/ ? 0 : 1) <=> ($b =~ /^mini-base/ ? 0 : 1) || $a cmp $b } keys %base_of)
{
	my $base = data_file($base_of{$name});
	my $answer = client_json("$name is pushed with its base at hand",
		'push', data_file($name), "alone/$name", '--parent', "alone/$base_of{$name}", '--have', $base);
	cmp_ok($answer->{sent_bytes}, '<=', $sent_at_most{$name} * $answer->{raw_bytes}, '... and little travels') if $sent_at_most{$name};
}
for my $name (sort keys %base_of)
{
	client_works("$name is pulled", 'pull', "alone/$name", '-o', scratch('out'), '-j', 1 + length($name) % 3);
	is_file(scratch('out'), data_file($name), '... and is the file');
	unlink scratch('out');
	next unless defined $base_of{$name};
	client_works("$name is pulled with its base at hand", 'pull', "alone/$name", '-o', scratch('out'), '--have', data_file($base_of{$name}));
	is_file(scratch('out'), data_file($name), '... and is the file');
	unlink scratch('out');
}
is(psql_one('select count(*) from sparse.version v, sparse_verify(v.id)'), '0', 'the server finds no problem in any of them');

# ---- without the base at hand ----

my $answer = client_json('a fine-tune is pushed without its base at hand',
	'push', data_file('mini-finetune-strong'), 'strong', '--parent', 'alone/mini-base');
cmp_ok($answer->{stored_bytes}, '<', .36 * $answer->{raw_bytes}, '... and is stored as a delta all the same');
client_works('... and pulled with a base that is a copy under another name', 'pull', 'strong', '-o', scratch('strong'),
	'--have', write_whole(scratch('copy of it'), read_whole(data_file('mini-base'))));
is_file(scratch('strong'), data_file('mini-finetune-strong'), '... and is the file');

# ---- again, and names ----

$answer = client_json('the same content under the same name', 'push', data_file('mini-base'), 'alone/mini-base');
ok($answer->{existed} && $answer->{sent_bytes} == 0, '... is there already, and nothing travels');
$answer = client_json('the same content under another name', 'push', data_file('mini-base'), 'other/name');
ok(!$answer->{existed} && $answer->{sent_bytes} == 0, '... is a version of its own, and nothing travels');
$answer = client_json('other content under that name', 'push', data_file('mini-finetune'), 'other/name');
is($answer->{name}, 'other/name@2', '... is its next revision');
client_fails(6, 'name', 'a name of digits is refused', 'push', data_file('mini-base'), '123');
client_fails(6, 'nowhere', 'a parent that is not there is refused', 'push', data_file('mini-chain-1'), 'x/y', '--parent', 'nowhere');
client_fails(6, 'nowhere', 'a version that is not there is no help', 'pull', 'nowhere', '-o', scratch('nothing'));

# ---- where it goes ----

mkdir scratch('into');
client_works('a version of one file goes into a folder', 'pull', 'alone/mini-base', '-o', scratch('into'));
is_file(scratch('into/mini-base.safetensors'), data_file('mini-base'), '... under its own name');
my $before = (stat scratch('into/mini-base.safetensors'))[1];
client_works('... and is left alone when it is there', 'pull', 'alone/mini-base', '-o', scratch('into'));
is((stat scratch('into/mini-base.safetensors'))[1], $before, '... as the same file');
write_whole(scratch('into/mini-base.safetensors'), 'something else');
client_works('another file of that name is replaced', 'pull', 'alone/mini-base', '-o', scratch('into'));
is_file(scratch('into/mini-base.safetensors'), data_file('mini-base'), '... by the right one');
my ($code, $out) = client('pull', 'alone/mini-finetune', '-o', '-', '--have', data_file('mini-base'));
ok($code eq '0' && $out eq read_whole(data_file('mini-finetune')), 'a version streams to standard output');
client_fails(1, 'could not', 'a place that cannot be is an error', 'pull', 'alone/mini-base', '-o', data_file('mini-base') . '/x');
leaves_nothing_beside($folder, 'nothing is left beside what was pulled');

# ---- approximations ----

client_fails(6, 'no approximation', 'what has no approximation is not pulled as one', 'pull', 'alone/mini-finetune', '-o', scratch('near'), '--approx');
ok(!-e scratch('near'), '... and leaves no file');
psql_one("select sparse_approximate('alone/mini-finetune', m, name => 'near-' || m) from unnest(array['int8', 'bit1']) m");
client_works('the newest approximation is pulled', 'pull', 'alone/mini-finetune', '-o', scratch('near'), '--approx');
is(psql_one("select encode(sha256, 'hex') from sparse_files('near-bit1')"), sha256_of_file(scratch('near')), '... byte for byte');
my ($near_code, $near_out, $near_err) = client('pull', 'near-int8', '-o', scratch('near'));
like($near_err, qr/near-int8\@1" is an approximation/, 'an approximation that is pulled by its name says what it is');
is(psql_one("select encode(sha256, 'hex') from sparse_files('near-int8')"), sha256_of_file(scratch('near')), '... and is pulled');
client_works('without --approx', 'pull', 'alone/mini-finetune', '-o', scratch('near'));
is_file(scratch('near'), data_file('mini-finetune'), '... a version is exact');

# ---- what chunks need that the client lacks ----

# Bytes that come from the server, all told, as a part of the model.
sub receives
{
	my ($name, $version, @arguments) = @_;
	my $out = scratch('received');
	unlink $out;
	my $received = client_receives($name, 'pull', $version, '-o', $out, '-q', @arguments);
	is(sha256_of_file($out), psql_one("select encode(sha256, 'hex') from sparse_files('$version')"), '... byte for byte');
	return $received / -s $out;
}

import_file($node, 'lora', 'mini-lora-merged', 'alone/mini-base');
import_file($node, 'quantised', 'mini-base-int8', 'alone/mini-base');
psql_one(q{call sparse_optimize('quantised')});
psql_one("select sparse_approximate('alone/mini-finetune', 'svd', 8, name => 'near-svd')");
my @base = ('--have', data_file('mini-base'));
cmp_ok(receives('what an adapter was merged into is pulled with its base at hand', 'lora', @base), '<', .032, '... and little travels');
cmp_ok(receives('... on several connections', 'lora', @base, '-j', 5), '<', .032, '... and no more');
cmp_ok(receives('so is an approximation by factors', 'near-svd', @base), '<', .024, '... by which it travels');
cmp_ok(receives('... one by levels', 'near-int8', @base), '<', .083, '... by which it travels');
cmp_ok(receives('... and one by signs', 'near-bit1', @base), '<', .095, '... by which it travels');
cmp_ok(receives('a quantised model is pulled with what it was made of at hand', 'quantised', @base), '<', .01, '... and next to nothing travels');
cmp_ok(receives('levels are pulled with nothing at hand', 'near-int8'), '<', .48, '... and are less than what they make');
my ($svd_code, $svd_out) = client('pull', 'near-svd', '-o', '-', '-q', @base);
ok($svd_code eq '0' && sha256_hex($svd_out) eq psql_one("select encode(sha256, 'hex') from sparse_files('near-svd')"), 'factors serve a version that streams to standard output');
client_works('... and some of its tensors', 'pull', 'near-svd', '-o', scratch('some'), @base, '--tensor', 'model.layers.0.mlp.up_proj.weight');
client_works('... which are a model', 'push', scratch('some'), 'some-near');
is(psql_one("select count(*) from sparse_tensors('some-near') s join sparse_tensors('near-svd') m using (name, sha256, dtype, shape)"), '1', '... with its bytes');
unlink scratch('some'), scratch('received');
psql_one('alter function sparse_delta_factors(bigint, text[], text, bigint, bigint) rename to not_there');
psql_one('alter function sparse_delta_factors(text, text[], text, bigint, bigint) rename to not_there');
cmp_ok(receives('from a server that cannot send factors', 'near-svd', @base), '>', .2, '... all of it travels');
psql_one('alter function not_there(bigint, text[], text, bigint, bigint) rename to sparse_delta_factors');
psql_one('alter function not_there(text, text[], text, bigint, bigint) rename to sparse_delta_factors');
psql_one(q{create role reader login; grant usage on schema sparse to reader; grant select on sparse.version to reader});
cmp_ok(receives('who may read a version gets its factors', 'near-svd', @base, '-U', 'reader'), '<', .024, '... by which it travels');
psql_one('revoke execute on function sparse_delta_factors(bigint, text[], text, bigint, bigint) from public');
cmp_ok(receives('... unless he may not call what sends them', 'near-svd', @base, '-U', 'reader'), '>', .2, '... and all of it travels');
psql_one('grant execute on function sparse_delta_factors(bigint, text[], text, bigint, bigint) to public');
leaves_nothing_beside($folder, 'nothing of them is left');

# ---- long names ----

for my $length (230, 237, 241, 255)
{
	my $name = 'n' x $length;
	mkdir scratch("long$length") or die;
	write_whole(scratch("long$length/$name"), "content of $length");
	write_whole(scratch("long$length/other"), '{}');
	client_works("a file whose name has $length bytes", 'push', scratch("long$length"), "long/$length", '-q');
	client_works('... comes back', 'pull', "long/$length", '-o', scratch("long-back$length"), '-q');
	is_file(scratch("long-back$length/$name"), scratch("long$length/$name"), '... as it was');
	client_works('... alone too', 'compress', '--no-base', scratch("long$length/$name"), '-o', scratch('delta'), '-q');
	unlink scratch("long-back$length/$name");
	client_works('... from a delta', 'reconstruct', '--no-base', scratch('delta'), '-o', scratch("long-back$length/$name"), '-q');
	is_file(scratch("long-back$length/$name"), scratch("long$length/$name"), '... as it was');
}
mkdir scratch('left');
write_whole(scratch('left/.pg_sparse-0123456789abcdef0123456789abcdef.part'), 'half a file');
client_fails(1, 'no path that a file of a version may have', 'what an interrupted pull has left is no part of a model', 'push', scratch('left'), 'left');

# ---- one line of progress ----

my $terminal = <<'END';
import fcntl, os, pty, struct, subprocess, sys, termios
widest, drawn = -999, 0
for columns in (80, 50, 20):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
    process = subprocess.Popen(['pg_sparse', 'push', sys.argv[1], 'progress/%d' % columns, '--no-parent', '--as-bytes'], stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    text = b''
    try:
        while True:
            bytes = os.read(ours, 65536)
            if not bytes: break
            text += bytes
    except OSError: pass
    process.wait()
    for line in text.replace(b'\n', b'\r').split(b'\r'):
        line = line.replace(b'\033[K', b'')
        drawn += len(line) > 0
        widest = max(widest, len(line) - columns)
print(widest, drawn)
END
{
	my $large = write_whole(scratch('large'), pack('L*', map { int rand 2**32 } 1 .. 5_000_000));
	my $out = '';
	PostgreSQL::Test::Utils::run_log([ 'python3', '-c', $terminal, $large ], '>', \$out);
	my ($widest, $drawn) = split ' ', $out;
	cmp_ok($drawn, '>', 0, 'progress is drawn on a terminal');
	cmp_ok($widest, '<', 0, '... and never wraps');
}

# ---- tensors ----


my $tensor = 'model.layers.0.self_attn.q_proj.weight';
client_works('some tensors are pulled', 'pull', 'alone/mini-finetune', '-o', scratch('some'),
	'--tensor', $tensor, '--tensor', 'model.norm.weight', '--have', data_file('mini-base'));
client_works('... which are a model', 'push', scratch('some'), 'some', '--as-bytes');
is(psql_one("select string_agg(name, ' ' order by name) from sparse_tensors('some')"), "$tensor model.norm.weight", '... of these tensors');
is( psql_one("select count(*) from sparse_tensors('some') s join sparse_tensors('alone/mini-finetune') m using (name, sha256, dtype, shape)"),
	'2', '... with their bytes');
client_fails(6, 'no tensor "nothing"', 'a tensor that is not there is an error', 'pull', 'some', '-o', scratch('none'), '--tensor', 'nothing');
ok(!-e scratch('none'), '... and leaves no file');
{
	my $header = '{"__metadata__":{"format":"pt","a \"b\"":"\u00e9\\n"},"x":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"y":{"dtype":"F4","shape":[2],"data_offsets":[3,4]}}';
	write_whole(scratch('with-metadata'), pack('Q<', length $header) . $header . 'abcd');
	client_works('a model with metadata', 'push', scratch('with-metadata'), 'with-metadata', '-q');
	client_works('one tensor of it is pulled', 'pull', 'with-metadata', '-o', scratch('one'), '--tensor', 'y', '-q');
	my $pulled = read_whole(scratch('one'));
	my $read = JSON::PP::decode_json(substr $pulled, 8, unpack 'Q<', $pulled);
	is_deeply($read->{__metadata__}, JSON::PP::decode_json($header)->{__metadata__}, '... with the metadata of its file');
	is(join(' ', sort keys %$read), '__metadata__ y', '... and nothing else');
}

# ---- folders ----

sub is_folder
{
	my ($path, $source, $name) = @_;
	my ($code, $differences) = (system("diff -r '$source' '$path' > '$folder/differences' 2>&1"), read_whole("$folder/differences"));
	ok($code == 0, $name) or diag($differences);
	return;
}

write_shards(scratch('sharded'), 0);
write_shards(scratch('tuned'), 1);
client_works('a folder is pushed', 'push', scratch('sharded'), 'org/sharded');
client_works('... and pulled', 'pull', 'org/sharded', '-o', scratch('again'));
is_folder(scratch('again'), scratch('sharded'), '... with all files, those in folders and empty ones too');
$answer = client_json('its fine-tune is pushed with the folder at hand', 'push', scratch('tuned'), 'org/tuned', '--have', scratch('sharded'));
cmp_ok($answer->{sent_bytes}, '<', .2 * $answer->{raw_bytes}, '... and little travels');
is(psql_one(q{select string_agg(name, ' ') from sparse_lineage('org/tuned')}), 'org/sharded', '... whose version was taken as its parent');
client_works('... and pulled with the folder at hand', 'pull', 'org/tuned', '-o', scratch('again-tuned'), '--have', scratch('sharded'));
is_folder(scratch('again-tuned'), scratch('tuned'), '... and is the folder');
client_works('an index is pushed', 'push', scratch('sharded/model.safetensors.index.json'), 'org/index');
is(psql_one(q{select count(*) from sparse_files('org/index')}), '3', '... with its shards, and nothing else');

# the model card
write_whole(scratch('tuned/README.md'), "---\nlicense: mit\nbase_model:\n- org/sharded\ntags: [a]\n---\n# A model\nbase_model: nobody\n");
client_works('a folder with a model card is pushed', 'push', scratch('tuned'), 'org/card');
is(psql_one(q{select string_agg(name, ' ') from sparse_lineage('org/card')}), 'org/sharded', '... and is the child of what the card names');
client_works('... unless that is not wanted', 'push', scratch('tuned'), 'org/orphan', '--no-parent');
is(psql_one(q{select count(*) from sparse_lineage('org/orphan')}), '0', '... then it has no parent');

# ---- a new revision ----

(my $status, undef, my $words) = client('push', data_file('mini-base'), 'again/model', '--no-parent');
is($status, '0', 'a model is pushed that is to have no parent');
is($words =~ /predicted/ ? 'told' : 'silent', 'silent', '... and none is looked for');
($status, undef, $words) = client('push', data_file('mini-finetune'), 'again/model');
is($status, '0', 'its next revision is pushed');
like($words, qr/^"again\/model" is predicted from "again\/model\@1", its previous revision$/m, '... is predicted from the one before, which is said');
is(psql_one(q{select role || ' ' || revision from sparse_lineage('again/model')}), 'revision 1', '... and kept');
is(psql_one(q{select stored_bytes < .3 * raw_bytes from sparse.version where name = 'again/model' and revision = 2}), 't', '... and is small');
($status, undef, $words) = client('push', data_file('mini-finetune-light'), 'again/model', '-q', '--have', data_file('mini-finetune'));
is("$status $words", '0 ', 'told to be quiet it says nothing');
is(psql_one(q{select string_agg(role || ' ' || name || '@' || revision, ', ' order by distance, role) from sparse_lineage('again/model') where distance = 1}),
	'finetune again/model@2', 'what is at hand is the parent where it is the revision before');
client_works('a revision is pushed that has none', 'push', data_file('mini-chain-1'), 'again/model', '--no-parent');
is(psql_one(q{select count(*) from sparse_lineage('again/model')}), '0', '... not even the one before');
($status, undef, $words) = client('push', data_file('mini-chain-1'), 'again/model', '--parent', 'again/model@2');
like($words, qr/"again\/model\@4" has that content already; "again\/model\@2" is now a parent of it/, 'known content gets the parent that is named for it');
is(psql_one(q{select string_agg(role || ' ' || revision, ', ' order by distance) from sparse_lineage('again/model')}), 'finetune 2, revision 1', '... in its lineage');

# ---- an adapter ----

client_works('a model is pushed with its adapter', 'push', data_file('mini-chain-2'), 'merged', '--parent', 'alone/mini-base',
	'--adapter', data_file('mini-lora-adapter'), '--metadata', '{"a": [1]}');
is( psql_one(q{select string_agg(role || ' ' || name, ', ' order by role) from sparse_lineage('merged')}),
	'adapter alone/mini-lora-adapter, finetune alone/mini-base', '... which is a parent, known by its content');
is(psql_one(q{select metadata ->> 'a' from sparse.version where name = 'merged'}), '[1]', '... and with its metadata');

# ---- odd files ----

write_model(scratch('odd.safetensors'), [ 'scalar', 'F32', '', "\0\0\xc0\x7f" ], [ 'none', 'BF16', '0', '' ],
	[ 'minus zero', 'F64', '2', pack('d<2', -0.0, 'nan') ], [ "caf\xc3\xa9 \\\" quote", 'U8', '3', "\1\2\3" ],
	[ 'unknown', 'F4', '4', "\1\2" ]);
client_works('a model of odd tensors is pushed', 'push', scratch('odd.safetensors'), 'odd');
client_works('... and pulled', 'pull', 'odd', '-o', scratch('odd-again'));
is_file(scratch('odd-again'), scratch('odd.safetensors'), '... and is the file');

# ---- what is refused ----

my %refused = (
	'weights.bin' => [ "PK\3\4" . "\0" x 100, 'zip archive' ],
	'weights.pt' => [ "\x80\2}q\0.", 'a pickle' ],
	'model.gguf' => [ 'GGUF' . "\0" x 100, 'not a valid GGUF file' ],
	'named.gguf' => [ 'no such' . "\0" x 100, 'not a valid GGUF file' ],
	'text.txt' => [ "hello\n", 'no safetensors, GGUF or PyTorch file' ],
	'torn.safetensors' => [ substr(read_whole(data_file('mini-base')), 0, 100_000), 'not a valid safetensors file' ]);
for my $name (sort keys %refused)
{
	my ($bytes, $words) = @{ $refused{$name} };
	client_fails(1, $words, "$name is refused", 'push', write_whole(scratch($name), $bytes), "refused/$name");
	client_works('... and stored as bytes when asked for', 'push', scratch($name), "bytes/$name", '--as-bytes');
	client_works('... to be pulled again', 'pull', "bytes/$name", '-o', scratch('bytes'));
	is_file(scratch('bytes'), scratch($name), '... byte for byte');
}
client_fails(1, 'no such file|No such file', 'a missing file is an error', 'push', scratch('missing'), 'missing');
mkdir scratch('pickled');
write_whole(scratch("pickled/$_"), $_ eq 'config.json' ? '{}' : "PK\3\4") for 'config.json', 'pytorch_model.bin';
client_fails(1, 'zip archive', 'a folder with pickled weights is refused', 'push', scratch('pickled'), 'pickled');

# ---- a file that changes ----

is(psql_one(q{select count(*) from sparse.version where state = 'open'}), '0', 'nothing is left open');

$node->stop;
done_testing();
