#!/usr/bin/env perl
# Draws what pg_sparse bench prints (on standard input) as an SVG (on standard
# output): a point for each codec, size against decode speed.
#
#   pg_sparse bench BASE CHILD | test/plot.pl TITLE
#
# The best place is top left. Speeds are on a logarithmic scale, as they span memcpy
# and an adaptive coder. Nothing but Perl is needed.
use strict;
use warnings;

my ($width, $height) = (820, 520);
my ($left, $right, $top, $bottom) = (78, 30, 64, 66);	# margins
my ($label_height, $label_gap) = (17, 11);
my %colour = (sparse => '#0b62c4', peer => '#5b6470', text => '#1f2933', grid => '#e4e8ec', axis => '#9aa5b1');

# ---- what is drawn ----

sub read_points
{
	my @points;
	my $header = <STDIN> // '';
	die "no output of pg_sparse bench on standard input\n" unless $header =~ /^name\tbytes\tfraction\t/;
	while (my $line = <STDIN>)
	{
		chomp $line;
		my ($name, undef, $fraction, undef, $decode) = split /\t/, $line;
		push @points, {name => $name, fraction => $fraction, decode => $decode} if $decode > 0;
	}
	die "no codec has a speed\n" unless @points;
	return @points;
}

sub log10 { return log($_[0]) / log 10 }

# The logarithms between which all speeds lie, with some room.
sub range_of_speeds
{
	my @speeds = sort { $a <=> $b } map { $_->{decode} } @_;
	return (log10($speeds[0]) - 0.25, log10($speeds[-1]) + 0.25);
}

my @points = read_points();
my ($lowest, $highest) = range_of_speeds(@points);

# From values to places on the drawing.
sub x_of { return $left + $_[0] / 1.05 * ($width - $left - $right) }
sub y_of { return $height - $bottom - (log10($_[0]) - $lowest) / ($highest - $lowest) * ($height - $top - $bottom) }

# ---- SVG ----

sub escape
{
	my ($text) = @_;
	$text =~ s/&/&amp;/g;
	$text =~ s/</&lt;/g;
	$text =~ s/>/&gt;/g;
	return $text;
}

sub text
{
	my ($x, $y, $text, %style) = @_;
	my $attributes = join '', map { qq( $_="$style{$_}") } sort keys %style;
	printf qq(<text x="%.1f" y="%.1f"%s>%s</text>\n), $x, $y, $attributes, escape($text);
	return;
}

sub line
{
	my ($x1, $y1, $x2, $y2, $colour) = @_;
	printf qq(<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>\n), $x1, $y1, $x2, $y2, $colour;
	return;
}

sub draw_speeds
{
	my $axis = $height - $bottom;
	line($left, $axis, $width - $right, $axis, $colour{axis});
	for my $decade (grep { $_ > $lowest && $_ < $highest } -6 .. 9)
	{
		my $y = y_of(10**$decade);
		my $speed = $decade < 3 ? 10**$decade . ' MB/s' : 10**($decade - 3) . ' GB/s';
		line($left, $y, $width - $right, $y, $colour{grid});
		text($left - 8, $y + 4, $speed, 'text-anchor' => 'end');
	}
	return;
}

sub draw_fractions
{
	my $y = $height - $bottom;
	for my $tenths (map { 2 * $_ } 0 .. 5)
	{
		my $x = x_of($tenths / 10);
		line($x, $top, $x, $y, $tenths == 0 ? $colour{axis} : $colour{grid});
		text($x, $y + 18, sprintf('%.1f', $tenths / 10), 'text-anchor' => 'middle');
	}
	return;
}

sub draw_titles
{
	my ($title) = @_;
	my $middle = ($top + $height - $bottom) / 2;
	text($left, 26, $title, 'font-size' => 17, 'font-weight' => 600);
	text($left, 47, 'One core; up and to the left is better.', fill => $colour{peer});
	text(x_of(0.5), $height - 18, 'size: fraction of the child that is stored', 'text-anchor' => 'middle', 'font-size' => 14);
	text(18, $middle, 'decode speed', 'text-anchor' => 'middle', 'font-size' => 14, transform => "rotate(-90 18 $middle)");
	return;
}

# Whether two labels, or a label and a point, would touch.
sub touches
{
	my ($a, $b) = @_;
	my $height = ($a->{height} + $b->{height}) / 2;
	return abs($a->{y} - $b->{y}) < $height && $a->{from} < $b->{to} && $b->{from} < $a->{to};
}

# A label to the right of its point, or to the left; a letter is about 7.4 wide.
sub label_beside
{
	my ($point, $text, $turned) = @_;
	my ($x, $width) = (x_of($point->{fraction}), $label_gap + 7.4 * length $text);
	return {
		text => $text,
		turned => $turned,
		from => $turned ? $x - $width : $x + $label_gap,
		to => $turned ? $x - $label_gap : $x + $width,
		height => $label_height,
		y => y_of($point->{decode})
	};
}

# The label of a point stands where there is room: to the right, to the left, or
# else to the right and below the labels that it would touch.
sub place_labels
{
	my @placed = map {
		my $x = x_of($_->{fraction});
		{from => $x - 5, to => $x + 5, height => 10, y => y_of($_->{decode})}
	} @points;
	for my $point (sort { $b->{decode} <=> $a->{decode} } @points)
	{
		my $text = "$point->{name} " . sprintf('%.3f', $point->{fraction});
		my @sides = map { label_beside($point, $text, $_) } 0, 1;
		my ($label) = grep {
			my $side = $_;
			$side->{from} >= $left && $side->{to} <= $width && !grep { touches($_, $side) } @placed
		} @sides;
		$label //= $sides[0];
		for my $above (@placed[scalar @points .. $#placed])
		{
			$label->{y} = $above->{y} + $label_height if touches($above, $label);
		}
		push @placed, $label;
		$point->{label} = $label;
	}
	return;
}

sub draw_points
{
	place_labels();
	for my $point (@points)
	{
		my $label = $point->{label};
		my $ours = $point->{name} =~ /^sparse/;
		my ($x, $y, $fill) = (x_of($point->{fraction}), y_of($point->{decode}), $colour{ $ours ? 'sparse' : 'peer' });
		printf qq(<circle cx="%.1f" cy="%.1f" r="%s" fill="%s"/>\n), $x, $y, $ours ? 6 : 5, $fill;
		text($x + ($label->{turned} ? -$label_gap : $label_gap), $label->{y} + 4.5, $label->{text},
			fill => $fill, 'font-size' => 12, 'font-weight' => $ours ? 600 : 400, 'text-anchor' => $label->{turned} ? 'end' : 'start');
	}
	return;
}

my $title = shift // 'Size against decode speed';
print qq(<svg xmlns="http://www.w3.org/2000/svg" width="$width" height="$height" viewBox="0 0 $width $height" )
  . qq(font-family="Helvetica, Arial, sans-serif" font-size="13" fill="$colour{text}" role="img">\n)
  . '<title>' . escape($title) . "</title>\n"
  . qq(<rect width="$width" height="$height" fill="#ffffff"/>\n);
draw_titles($title);
draw_speeds();
draw_fractions();
draw_points();
print "</svg>\n";
