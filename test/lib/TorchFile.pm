# Archives as torch.save writes them: a zip of stored entries, the first of which is a pickle. By default as PyTorch lays it out:
# local headers without sizes, data descriptors behind, storages at multiples of 64 bytes, the end of zip64 beside the other.
package TorchFile;

use strict;
use warnings;

use Exporter 'import';
use Compress::Zlib ();

our @EXPORT = qw(torch_archive torch_pickle pickled pickled_tensor pickled_call);

# ---- pickles: each function gives the opcodes that leave one value ----

sub text { return 'X' . pack('L<', length $_[0]) . $_[0] }

sub global { return "c$_[0]\n$_[1]\n" }

sub number { return $_[0] < 256 ? 'K' . chr $_[0] : 'J' . pack 'l<', $_[0] }

sub tuple { return '(' . join('', @_) . 't' }

# A value of Perl's: an array of pairs is a dictionary that keeps its order, [ 'list', ... ] a list, a reference to text opcodes
# as they are, digits a number, all else a text.
sub pickled
{
	my ($value) = @_;
	return $$value if ref $value eq 'SCALAR';
	return $value =~ /^\d+$/ ? number($value) : text($value) unless ref $value;
	my ($kind, @items) = @$value;
	return '](' . join('', map { pickled($_) } @items) . 'e' if $kind eq 'list';
	return ($kind eq 'ordered' ? global('collections', 'OrderedDict') . ')R' : '}') . '(' . join('', map { pickled($_) } @items) . 'u';
}

# A tensor: key and type of its storage, elements of that, offset, sizes and strides.
sub pickled_tensor
{
	my ($key, $type, $elements, $offset, $sizes, $strides) = @_;
	my $storage = tuple(text('storage'), global('torch', $type . 'Storage'), text($key), text('cpu'), number($elements)) . 'Q';
	return \(global('torch._utils', '_rebuild_tensor_v2')
		  . tuple($storage, number($offset), tuple(map { number($_) } @$sizes), tuple(map { number($_) } @$strides), "\x89",
			global('collections', 'OrderedDict') . ')R')
		  . 'R');
}

# What a function makes of values.
sub pickled_call
{
	my ($module, $name, @values) = @_;
	return \(global($module, $name) . tuple(map { pickled($_) } @values) . 'R');
}

sub torch_pickle { return "\x80\2" . pickled($_[0]) . '.' }

# ---- archives ----

# A pickle and storages (pairs of key and bytes). Options: prefix, order (of bytes), deflate (the key of a storage that is compressed),
# large (sizes and places in fields of zip64), plain (sizes in local headers, no descriptors).
sub torch_archive
{
	my ($pickle, $storages, %option) = @_;
	my $prefix = $option{prefix} // 'archive';
	my @entries = ([ 'data.pkl', $pickle ], [ '.format_version', '1' ], [ 'byteorder', $option{order} // 'little' ]);
	for (my $i = 0; $i < @$storages; $i += 2)
	{
		push @entries, [ "data/$storages->[$i]", $storages->[ $i + 1 ] ];
	}
	push @entries, [ 'version', "3\n" ], [ '.data/serialization_id', '1' x 40 ];
	my ($file, $directory) = ('', '');
	for (@entries)
	{
		my ($name, $bytes) = ("$prefix/$_->[0]", $_->[1]);
		my $compressed = defined $option{deflate} && $_->[0] eq "data/$option{deflate}";
		my $stored = $bytes;
		if ($compressed)
		{
			my $z = Compress::Zlib::deflateInit(-WindowBits => -15);
			$stored = $z->deflate($bytes) . $z->flush();
		}
		my ($at, $crc, $method) = (length $file, Compress::Zlib::crc32($bytes), $compressed ? 8 : 0);
		my $flags = $option{plain} ? 0x800 : 0x808;
		my $padding = -($at + 30 + length($name) + 4) % 64;
		$file .= pack('L<S<5L<3S<2', 0x04034b50, 0, $flags, $method, 0, 0,
			$option{plain} ? ($crc, length $stored, length $bytes) : (0, 0, 0), length $name, $padding + 4)
		  . $name . 'FB' . pack('S<', $padding) . 'Z' x $padding . $stored;
		$file .= pack('L<4', 0x08074b50, $crc, length $stored, length $bytes) unless $option{plain};
		my $extra = $option{large} ? pack('S<2Q<3', 1, 24, length $bytes, length $stored, $at) : '';
		$directory .= pack('L<S<6L<3S<5L<2', 0x02014b50, 0, 0, $flags, $method, 0, 0, $crc,
			($option{large} ? (0xffffffff) x 2 : (length $stored, length $bytes)), length $name, length $extra, 0, 0, 0, 0,
			$option{large} ? 0xffffffff : $at)
		  . $name . $extra;
	}
	my ($count, $at) = (scalar @entries, length $file);
	$file .= $directory;
	$file .= pack('L<Q<S<2L<2Q<4', 0x06064b50, 44, 45, 45, 0, 0, $count, $count, length $directory, $at)
	  . pack('L<2Q<L<', 0x07064b50, 0, $at + length $directory, 1) unless $option{plain};
	return $file . pack('L<S<4L<2S<', 0x06054b50, 0, 0, $option{large} ? (0xffff) x 2 : ($count, $count),
		$option{large} ? (0xffffffff) x 2 : (length $directory, $at), 0);
}

1;
