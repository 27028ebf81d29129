# cut.pl FROM TO NAME...: safetensors files with some rows of some tensors of others.
# What holds row by row for the whole (merges, scales, adapters) holds for the part.
use strict;
use warnings;

use JSON::PP;

my %rows = ('mlp.gate_proj' => 96, 'mlp.down_proj' => 64, 'self_attn.q_proj' => 80, 'embed_tokens' => 48);

# The rows that stay of a tensor; undef: all of it is left out.
sub rows_of
{
	my ($name, $shape) = @_;
	return $shape->[0] if $name =~ /norm|lora_A/ && $name !~ /up_proj|v_proj/;
	for my $part (keys %rows) { return $rows{$part} if $name =~ /\Q$part\E\./ }
	return;
}

sub cut
{
	my ($from, $to) = @_;
	open my $in, '<:raw', $from or die "$from: $!\n";
	local $/;
	my $file = <$in>;
	my $length = unpack 'Q<', $file;
	my $header = decode_json(substr $file, 8, $length);
	my ($bytes, %kept) = ('');
	$kept{__metadata__} = $header->{__metadata__} if $header->{__metadata__};
	for my $name (sort grep { $_ ne '__metadata__' } keys %$header)
	{
		my ($tensor, $first) = ($header->{$name}, length $bytes);
		my $rows = rows_of($name, $tensor->{shape}) // next;
		my ($begin, $end) = @{ $tensor->{data_offsets} };
		$bytes .= substr $file, 8 + $length + $begin, ($end - $begin) / $tensor->{shape}[0] * $rows;
		$kept{$name} = { dtype => $tensor->{dtype}, shape => [ $rows, @{ $tensor->{shape} }[ 1 .. $#{ $tensor->{shape} } ] ],
			data_offsets => [ $first, length $bytes ] };
	}
	my $json = JSON::PP->new->canonical->encode(\%kept);
	$json .= ' ' x (-length($json) % 8);
	open my $out, '>:raw', $to or die "$to: $!\n";
	print $out pack('Q<', length $json), $json, $bytes;
	close $out or die "$to: $!\n";
}

my ($from, $to, @names) = @ARGV;
cut("$from/$_.safetensors", "$to/$_.safetensors") for @names;
