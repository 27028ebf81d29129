# docs/tutorial.md, from its beginning to its end: each command does what the page says, and prints what stands there,
# but for times, and how the server's user is called. TUTORIAL=FILE writes the page with what was
# printed now to that file, to be read, and copied.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir();
my $node = PostgreSQL::Test::Cluster->new('tutorial');
$node->init;
$node->start;
client_node($node);
$ENV{PGOPTIONS} = '-c client_min_messages=error';
delete $ENV{PGDATABASE};
write_whole("$folder/base.safetensors", read_whole(data_file('mini-base')));
write_whole("$folder/tuned.safetensors", read_whole(data_file('mini-finetune')));

# What is another elsewhere; zstd, too, has versions.
sub plain
{
	my ($text) = @_;
	my $user = quotemeta psql_user();
	return $text =~ s/\d{4}-\d\d-\d\d \d\d:\d\d/YYYY-MM-DD HH:MM/gr =~ s/\b$user\b */USER /gr =~ s/created by +/created by /gr
	  =~ s/\b(\d+\.\d) (kB|MB)/sprintf '%.2g %s', $1, $2/ger =~ s/\b\d+ B\b/N B/gr =~ s/[ \t]+$//mgr;
}

sub psql_user { return $node->safe_psql('postgres', 'select current_user') }

# A session of one shell: settings of one command are there in the next.
my ($text, $number) = (slurp_file('docs/tutorial.md'), 0);
my $script = "exec 2>&1\nPS2=\ncd '$folder'\n";
my @said;
while ($text =~ /^```console\n(.*?)^```$/msg)
{
	my $block = $1;
	while ($block =~ /^\$ ([^\n]*\n(?:> [^\n]*\n)*)((?:(?!\$ )[^\n]*\n)*)/mg)
	{
		my ($command, $output) = ($1, $2);
		$command =~ s/^> //mg;
		push @said, [ $command, $output ];
		$script .= "echo '\x01'\n${command}test \$? -eq 0 || echo \"exit code \$?\"\n";
	}
}
cmp_ok(scalar @said, '>', 20, 'the page has commands');
write_whole("$folder/session.sh", $script);
my $printed = `bash '$folder/session.sh' 2>&1`;
my @printed = split /\x01\n/, $printed, -1;
shift @printed;
is(scalar @printed, scalar @said, 'all of them ran');
for my $i (0 .. $#said)
{
	is(plain($printed[$i] // ''), plain($said[$i][1]), $said[$i][0] =~ s/\n.*//sr);
}
if ($ENV{TUTORIAL})
{
	my $i = 0;
	$text =~ s{^(```console\n)(.*?)^(```)$}{
		my ($begin, $block, $end) = ($1, $2, $3);
		$block =~ s/^(\$ [^\n]*\n(?:> [^\n]*\n)*)((?:(?!\$ )[^\n]*\n)*)/my $c = $1; $c . $printed[$i++] =~ s{[ \t]+$}{}mgr/mge;
		"$begin$block$end"}msge;
	write_whole($ENV{TUTORIAL}, $text);
}

$node->stop;
done_testing();
