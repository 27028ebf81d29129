# Writes small models: rows of the models of test/data, so that they are related as those are. For make.sh alone.
#
#   perl test/golden/cut_models.pl FOLDER
use strict;
use warnings;

use JSON::PP;

my ($folder) = @ARGV;
my $layer = 'model.layers.0';

sub read_whole
{
	my ($path) = @_;
	open my $file, '<:raw', $path or die "$path: $!";
	local $/;
	return scalar <$file>;
}

# A file's header, and its tensors' bytes.
sub read_model
{
	my ($name) = @_;
	my $bytes = read_whole("test/data/$name.safetensors");
	my $length = unpack 'Q<', $bytes;
	my $header = decode_json(substr $bytes, 8, $length);
	return ($header, substr $bytes, 8 + $length);
}

# The first rows of a tensor: dtype, shape, bytes.
sub first_rows
{
	my ($header, $bytes, $name, $rows) = @_;
	my $tensor = $header->{$name} // die "no tensor $name";
	my ($first, $end) = @{ $tensor->{data_offsets} };
	my @shape = @{ $tensor->{shape} };
	my $row = ($end - $first) / $shape[0];
	$shape[0] = $rows if $rows < $shape[0];
	return ($tensor->{dtype}, \@shape, substr $bytes, $first, $shape[0] * $row);
}

# A model of tensors [name, dtype, shape, bytes], in their order.
sub write_model
{
	my ($name, $metadata, @tensors) = @_;
	my $at = 0;
	my @entries = $metadata ? ('"__metadata__":' . JSON::PP->new->canonical->encode($metadata)) : ();
	for my $tensor (@tensors)
	{
		my $end = $at + length $tensor->[3];
		push @entries, sprintf '"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}',
		  @$tensor[ 0, 1 ], join(',', @{ $tensor->[2] }), $at, $end;
		$at = $end;
	}
	my $header = '{' . join(',', @entries) . '}';
	$header .= ' ' x (-length($header) % 8);
	write_whole("$name.safetensors", join '', pack('Q<', length $header), $header, map { $_->[3] } @tensors);
	return;
}

sub write_whole
{
	my ($name, $bytes) = @_;
	open my $file, '>:raw', "$folder/$name" or die "$folder/$name: $!";
	print {$file} $bytes;
	close $file or die "$name: $!";
	return;
}

# ---- the family ----

# How many rows of which tensors, of a model whose embedding has as many as that.
sub kept
{
	my ($embedding) = @_;
	return (
		'model.embed_tokens.weight' => $embedding,
		"$layer.input_layernorm.weight" => 384,
		"$layer.mlp.gate_proj.weight" => 32,
		"$layer.self_attn.q_proj.weight" => 96);
}

sub cut_model
{
	my ($to, $from, $embedding) = @_;
	my ($header, $bytes) = read_model($from);
	my %rows = kept($embedding // 32);
	my @tensors;
	for my $name (sort keys %rows)
	{
		for my $part ($name, "${name}_scale")
		{
			push @tensors, [ $part, first_rows($header, $bytes, $part, $rows{$name}) ] if $header->{$part};
		}
	}
	write_model($to, $header->{__metadata__}, @tensors);
	return;
}

cut_model('base', 'mini-base');
cut_model('finetune', 'mini-finetune');
cut_model('strong', 'mini-finetune-strong');
cut_model('next', 'mini-chain-1');
cut_model('merge', 'mini-merge-linear');
cut_model('slerp', 'mini-merge-slerp');
cut_model('lora', 'mini-lora-merged');
cut_model('pruned', 'mini-finetune-pruned');
cut_model('int8', 'mini-base-int8');
cut_model('fp32', 'mini-base-fp32');
cut_model('longer', 'mini-longer-vocabulary', 40);

# Of the adapter, what changes those rows.
{
	my ($header, $bytes) = read_model('mini-lora-adapter');
	my %rows = ('self_attn.q_proj' => 96, 'mlp.gate_proj' => 32);
	my @tensors;
	for my $part (sort keys %rows)
	{
		my $name = "base_model.model.$layer.$part";
		$name = (grep { /\Q$part\E\.lora_A/ } keys %$header)[0] =~ s/\.lora_A.*//r;
		push @tensors, [ "$name.lora_A.weight", first_rows($header, $bytes, "$name.lora_A.weight", 8) ];
		push @tensors, [ "$name.lora_B.weight", first_rows($header, $bytes, "$name.lora_B.weight", $rows{$part}) ];
	}
	write_model('adapter', $header->{__metadata__}, @tensors);
}

# ---- pairs for delta files ----

# A model of many dtypes, and a child of it.
for my $pair ([ 'mixed', 'base' ], [ 'mixed-child', 'finetune' ])
{
	my ($to, $kind) = @$pair;
	my @tensors;
	for my $suffix ('', '-fp16', '-fp32')
	{
		my ($header, $bytes) = read_model("mini-$kind$suffix");
		push @tensors, [ "q$suffix", first_rows($header, $bytes, "$layer.self_attn.q_proj.weight", $suffix eq '-fp32' ? 16 : 32) ];
	}
	my ($header, $bytes) = read_model('mini-base-int8');
	my @int8 = first_rows($header, $bytes, "$layer.self_attn.q_proj.weight", 32);
	$int8[2] ^= ("\1" . "\0" x 6) x (length($int8[2]) / 7) if $kind eq 'finetune';
	push @tensors, [ 'q-int8', @int8 ], [ 'empty', 'F64', [ 0, 3 ], '' ], [ 'flags', 'BOOL', [64], $kind eq 'base' ? "\1" x 64 : "\1\0" x 32 ];
	write_model($to, undef, @tensors);
}

my $text = join '', map { sprintf qq({"id": %d, "token": "t%d"},\n), $_, $_ * 7919 % 10007 } 1 .. 600;
my $edited = ($text =~ s/"t(\d*)5"/"five $1"/gr) . "the end\n";
write_whole('text', $text);
write_whole('text-child', $edited);
mkdir "$folder/$_" or die "$folder/$_: $!" for qw(folder folder-child);
write_whole('folder/tokens.json', $text);
write_whole('folder-child/tokens.json', $edited);
write_whole('folder-child/empty', '');
write_whole('nothing', '');
write_whole('same', 'a' x 5000);
