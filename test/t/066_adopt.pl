# A tree of models becomes versions: bases before children, whose bases are at hand; what
# fails is reported and keeps nothing back; again, everything is known.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = client_node(sparse_node('adopt'));
my $tree = PostgreSQL::Test::Utils::tempdir() . '/tree';

sub place_model
{
	my ($folder, $file, $base) = @_;
	system('mkdir', '-p', "$tree/$folder") == 0 or die;
	symlink data_file($file), "$tree/$folder/model.safetensors" or die;
	write_whole("$tree/$folder/README.md", "---\nbase_model: $base\n---\n") if $base;
}

place_model('acme/a-tuned', 'mini-finetune', 'acme/base');
place_model('acme/base', 'mini-base');
place_model('cache/models--other--light/snapshots/0123abcd', 'mini-finetune-light', 'acme/base');
place_model('cache/models--other--chain/snapshots/0123abcd', 'mini-chain-1', 'acme/a-tuned');
place_model('pipeline/unet', 'mini-base-int8');
write_whole("$tree/pipeline/model_index.json", '{}');
mkdir "$tree/broken";
write_whole("$tree/broken/model.safetensors", 'this is none');
mkdir "$tree/no-model";
write_whole("$tree/no-model/text.txt", 'text');

my ($code, $out, $err) = client('adopt', $tree, '--json');
is($code, '1', 'a tree with a broken model ends with exit code 1');
like($err, qr/broken\/model.safetensors" is not a valid safetensors file.*1 of 6 models were not stored/s, '... and says which');
my %model = map { $_->{name} => $_ } @{ JSON::PP::decode_json($out) };
is(join(' ', map { "$_:$model{$_}{outcome}" } sort keys %model),
	'acme/a-tuned:stored acme/base:stored broken:failed other/chain:stored other/light:stored pipeline:stored', '... after all others were stored');
cmp_ok($model{'acme/a-tuned'}{sent_bytes}, '<', .3 * $model{'acme/a-tuned'}{raw_bytes}, 'of a child little travels');
is( psql_one(q{select string_agg(v.name || ' < ' || p.name, ', ' order by v.name) from sparse.parent e
	join sparse.version v on v.id = e.child join sparse.version p on p.id = e.parent}),
	'acme/a-tuned < acme/base, other/chain < acme/a-tuned, other/light < acme/base', 'children have their bases as parents');
($code, $out) = client('adopt', $tree, '--json');
%model = map { $_->{name} => $_ } @{ JSON::PP::decode_json($out) };
is(join(' ', map { "$_:$model{$_}{outcome}" } sort keys %model),
	'acme/a-tuned:known acme/base:known broken:failed other/chain:known other/light:known pipeline:known', 'again, what is stored is known');
client_fails(1, 'holds .safetensors files', 'a tree without models is an error', 'adopt', "$tree/no-model");
client_fails(1, 'not a folder', 'a file is no tree', 'adopt', "$tree/no-model/text.txt");

# ---- one model, wherever it is named from ----

sub adopted
{
	my ($name, @arguments) = @_;
	my ($status, $text, $words) = client('adopt', @arguments, '--json');
	is($status, '0', $name) or diag($words);
	return join ' ', map { "$_->{name}:$_->{outcome}" } @{ JSON::PP::decode_json($text) };
}
sub parents_of
{
	my ($name) = @_;
	return psql_one(qq{select coalesce(string_agg(p.name || '\@' || p.revision || ' ' || e.role, ', ' order by e.ordinal), '')
		from sparse.parent e join sparse.version v on v.id = e.child join sparse.version p on p.id = e.parent
		where v.id = sparse_version_id('$name')});
}
is(adopted('a folder that is a model itself is adopted', "$tree/acme/base/"), 'base:stored', '... by its own name');
is(adopted('names begin below a root', "$tree/acme/base", '--root', $tree), 'acme/base:known', '... wherever below it adopt begins');
is(adopted('...', "$tree/acme/../acme", '--root', "$tree/."), 'acme/a-tuned:known acme/base:known', '... however it is written');
client_fails(2, 'does not lie below the root', 'the root must be above', 'adopt', "$tree/acme", '--root', "$tree/no-model");

# ---- a run and its checkpoints ----

my $runs = PostgreSQL::Test::Utils::tempdir() . '/runs';
sub place
{
	my ($path, $file) = @_;
	my ($folder) = "$runs/$path" =~ m{(.*)/};
	system('mkdir', '-p', $folder) == 0 or die;
	ref $file ? write_whole("$runs/$path", $$file) : symlink data_file($file), "$runs/$path" or die;
}
place('run/model.safetensors', 'mini-finetune-fp16');
place('run/config.json', \'{"model_type": "llama"}');
place('run/generation_config.json', \'{"top_k": 5}');
place('run/README.md', \"---\nbase_model: acme/base\n---\n");
place('run/checkpoint-100/model.safetensors', 'mini-chain-2');
place('run/checkpoint-20/model.safetensors', 'mini-chain-1');
place('run/checkpoint-20/config.json', \'{}');
is(adopted('a run is adopted', $runs), 'run/checkpoint-20:stored run/checkpoint-100:stored run:stored', '... with its checkpoints, in their order');
is(psql_one(q{select string_agg(path, ' ' order by ordinal) from sparse_files('run')}), 'README.md config.json generation_config.json model.safetensors', '... which are versions of their own');
is(parents_of('run/checkpoint-100'), 'run/checkpoint-20@1 checkpoint', 'a checkpoint has the one before it as parent');
is(parents_of('run'), 'run/checkpoint-100@1 checkpoint, acme/base@1 finetune', 'and the end of the run the last, beside its base');
is(adopted('again from within', "$runs/run"), 'run/checkpoint-20:known run/checkpoint-100:known run:known', '... the names are the same');
is(psql_one(q{select metadata -> 'config' ->> 'model_type' from sparse.version where id = sparse_version_id('run')}), 'llama', 'the config is metadata');
is(psql_one(q{select metadata -> 'generation_config' ->> 'top_k' from sparse.version where id = sparse_version_id('run')}), '5', '... and that of generation');

# ---- a pipeline, with a part on another disk ----

place('pipe/model_index.json', \'{}');
place('pipe/unet/diffusion.safetensors', 'mini-base-int8');
place('elsewhere/vae/diffusion.safetensors', 'mini-base');
symlink '../elsewhere/vae', "$runs/pipe/vae" or die;
is(adopted('a pipeline is adopted by itself', "$runs/pipe"), 'pipe:stored', '... as a whole');
is(psql_one(q{select string_agg(path, ' ' order by ordinal) from sparse_files('pipe')}),
	'model_index.json unet/diffusion.safetensors vae/diffusion.safetensors', '... with its linked folder');

# ---- snapshots of the hub's cache ----

my $cache = "$runs/hub/models--org--model";
place('hub/models--org--model/snapshots/aaaa1111/model.safetensors', 'mini-finetune');
place('hub/models--org--model/snapshots/bbbb2222/model.safetensors', 'mini-finetune-light');
place('hub/models--org--model/refs/main', \'aaaa1111');
is(adopted('a cache is adopted', "$runs/hub"), 'org/model:stored org/model:stored', '... with all its snapshots');
is(psql_one(q{select string_agg(concat_ws(' ', revision, metadata ->> 'commit', metadata ->> 'ref'), ', ' order by revision) from sparse.version where name = 'org/model'}),
	'1 bbbb2222, 2 aaaa1111 main', '... that of refs/main is the newest, and commits are kept');
is(parents_of('org/model@2'), 'org/model@1 revision', '... and follows the one before');

# ---- what cannot be adopted is said ----

place('left/old/pytorch_model.bin', \("PK\3\4" . 'x' x 100));
place('left/pointer/model.safetensors', \("version https://git-lfs.github.com/spec/v1\noid sha256:" . ('4d' x 32) . "\nsize 12345\n"));
place('left/shards/model.safetensors.index.json', \'{"weight_map": {"a": "model-1.safetensors"}}');
mkdir "$runs/left/loop";
symlink '..', "$runs/left/loop/up" or die;
symlink 'nowhere', "$runs/left/dangling" or die;
my ($status, undef, $words) = client('adopt', "$runs/left");
is($status, '1', 'a tree of what cannot be stored ends with exit code 1');
like($words, qr/old\/pytorch_model.bin" is a zip archive/, '... weights in another form are named');
like($words, qr/"model.safetensors" is a Git-LFS pointer/, '... pointers');
like($words, qr/names a shard that is not there: "model-1.safetensors"/, '... missing shards');
like($words, qr/loop\/up" is passed over: it is a link to a folder that it lies in/, '... links in circles');
like($words, qr/dangling" is passed over: No such file/, '... and links that lead nowhere');

# ---- cards ----

sub card_says
{
	my ($sentence, $card, $parents, $metadata) = @_;
	our $number;
	my $folder = "$runs/card" . ++$number;
	mkdir $folder or die;
	write_whole("$folder/README.md", $card);
	write_model("$folder/model.safetensors", [ 'w', 'U8', '4', pack('N', $number) ]);
	client_works($sentence, 'push', $folder, "card/$number", '-q');
	is(parents_of("card/$number"), $parents, '... parents');
	is(psql_one("select metadata - 'base_model' from sparse.version where name = 'card/$number'"), $metadata, '... metadata') if defined $metadata;
}
card_says('a block list, quotes and comments', "---\nbase_model: # two\n  - \"acme/base\"   # one\n  - 'acme/a-tuned'\nlicense: mit\ntags: [a, \"b c\"]\n---\ntext",
	'acme/base@1 merge, acme/a-tuned@1 merge', '{"tags": ["a", "b c"], "license": "mit"}');
card_says('a flow list after a byte order mark, with CRLF', "\xEF\xBB\xBF---\r\nlicense: apache-2.0\r\nbase_model: [acme/base, 'acme/a-tuned',]\r\nbase_model_relation: merge\r\n---\r\n",
	'acme/base@1 merge, acme/a-tuned@1 merge', '{"license": "apache-2.0"}');
card_says('a folded scalar', "---\nbase_model: >-\n  acme/base\nbase_model_relation: quantized\n---\n", 'acme/base@1 quantized');
card_says('a URL of the hub', "---\nbase_model: https://huggingface.co/acme/base/tree/main\nbase_model_relation: adapter\n---\n", 'acme/base@1 adapter');
card_says('a name in other case', "\n---   \nBase_Model: Acme/BASE\n---\n", 'acme/base@1 finetune');
card_says('a key further down is none', "---\nx:\n  base_model: acme/base\n---\n", '', '{}');
card_says('what is no YAML says nothing', "---\nbase_model: [acme/base\n---\n", '');
card_says('text without front matter says nothing', "# base_model: acme/base\n", '');

# ---- models that declare nothing ----

# In a database of their own: what is like them is among them.
$node->safe_psql('postgres', 'create database undeclared');
$node->safe_psql('undeclared', 'create extension sparse; select sparse_create_store()');
my $silent = PostgreSQL::Test::Utils::tempdir() . '/silent';
for my $model (qw(mini-base mini-finetune mini-finetune-light mini-base-int8))
{
	system('mkdir', '-p', "$silent/$model") == 0 or die;
	symlink data_file($model), "$silent/$model/model.safetensors" or die;
}
sub undeclared { return $node->safe_psql('undeclared', $_[0]); }
($code, $out, $err) = client('adopt', $silent, '-d', 'undeclared', '--json');
is($code, '0', 'models that say nothing of where they are from are adopted');
is(undeclared('select count(*) from sparse.parent'), '0', '... are said to be made from nothing');
is( undeclared(q{select string_agg(v.name || ' < ' || p.name, ', ' order by v.id) from sparse.found_parent f
	join sparse.version v on v.id = f.version join sparse.version p on p.id = f.parent}),
	'mini-base-int8 < mini-base, mini-finetune < mini-base, mini-finetune-light < mini-base', '... and are predicted from what is like them');
like($err, qr/"mini-finetune" is predicted from "mini-base\@1", whose sketch is like its own/, '... which is said');
unlike($err, qr/warning/, '... and is no warning');
is( undeclared(q{select string_agg(name, ' ' order by id) from sparse.version where name <> 'mini-base' and stored_bytes > .25 * raw_bytes}),
	'', '... so that they are small');
is(undeclared('select count(*) from sparse.version v, sparse_verify(v.id)'), '0', '... and exact');
my $shown = client_json('show says what a version is predicted from', 'show', 'mini-finetune', '-d', 'undeclared');
is(join(' ', map { $_->{name} } @{ $shown->{found_parents} }), 'mini-base@1', '... and that it was only found');
is(scalar @{ $shown->{parents} }, 0, '... and is no parent');

$node->stop;
done_testing();
