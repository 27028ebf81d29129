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

my ($code, undef, $words) = client('adopt', "$tree/acme/base");
ok($code eq '1' && $words =~ /hint: Give the folder above it, or push it/, 'a folder that is a model itself is refused, and why is said');

$node->stop;
done_testing();
