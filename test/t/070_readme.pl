# Every block of README.md runs as it stands there, in its order, and the files that come
# back are the files that went in. What a reader has and this test has not (paths, names of
# models, a database called registry) is replaced in one table; what is not run is listed
# with the reason; a block or a skipped command that this test does not know fails it.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir();
mkdir "$folder/$_" or die "$folder/$_: $!" for qw(models out here);

# What stands for a reader's models, in /models and in the folder where he works.
my %models = ('base.safetensors' => data_file('mini-base'), 'tuned.safetensors' => data_file('mini-finetune'));

# The only words of README that are other words here.
my %substitutes = ("'/models/" => "'$folder/models/", "'/tmp/" => "'$folder/out/");

# By their first lines, with the state of the store that a reader comes with.
my %blocks = (
	'make quickstart' => 'nothing',
	'create extension sparse;' => 'nothing',
	'pg_sparse pull acme/tuned -o - > tuned.safetensors' => 'the models',
	'select sparse_commit_rows(\'acme/faq\', \'select * from faq order by id\', key => array[\'id\']);' => 'the models and a table',
	'pg_sparse push tuned.safetensors acme/tuned --parent acme/base --have base.safetensors' => 'the base',
	'pg_sparse compress base.safetensors tuned.safetensors -o tuned.delta' => 'nothing',
	'make' => 'nothing');

# Commands that are not run here, and why.
my %skipped = (
	'make quickstart' => 'builds in the clone and makes a server of its own; make matrix runs it',
	'make check' => 'it runs this test',
	'make' => 'what runs here was built so',
	'sudo make install' => 'writes to the system; test/lib/private-server.sh runs it with DESTDIR',
	'make installcheck' => 'the regression tests, which make check runs');

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->start;
client_node($node);
$ENV{PGDATABASE} = 'registry';
$ENV{PGOPTIONS} = '-c client_min_messages=warning';

sub in_registry { return $node->safe_psql('registry', $_[0]) }

# A database with that much in it.
sub begin_with
{
	my ($state) = @_;
	$node->safe_psql('postgres', $_)
	  for 'drop database if exists registry with (force)', 'drop role if exists sparse_owner', 'create database registry';
	return if $state eq 'nothing';
	in_registry('create extension sparse; create role sparse_owner nologin; grant create on database registry to sparse_owner;
		set role sparse_owner; select sparse_create_store(); reset role');
	in_registry("select sparse_import_file('acme/base', '$models{'base.safetensors'}')");
	return if $state eq 'the base';
	in_registry("select sparse_import_file('acme/tuned', '$models{'tuned.safetensors'}', parents => array['acme/base'])");
	return if $state eq 'the models';
	in_registry("create table faq (id integer primary key, question text, answer text);
		insert into faq select i, 'Question ' || i || '?', 'Answer ' || i from generate_series(1, 1000) i");
	return;
}

# Blocks between fences of any language, and those that are indented by four spaces.
sub blocks_of
{
	my ($page) = @_;
	my @blocks;
	while ($page =~ /^```(\w*)\n(.*?)^```$|^((?: {4,}\S[^\n]*\n)+)/msg)
	{
		my ($language, $text) = defined $3 ? ('shell', $3) : ($1, $2);
		$text =~ s/^ {4}//mg if defined $3;
		push @blocks, [ $language, $text ];
	}
	return @blocks;
}

# The commands of a shell block without their comments; a backslash goes on.
sub commands_of
{
	my ($text) = @_;
	$text =~ s/\\\n\s*//g;
	return map { s/\s+# .*//r } split /\n/, $text;
}

sub replaced
{
	my ($text) = @_;
	my $words = join '|', map { quotemeta } sort keys %substitutes;
	return $text =~ s/($words)/$substitutes{$1}/gr;
}

# Both models where README has them.
sub lay_out_models
{
	for my $place ("$folder/models", "$folder/here")
	{
		write_whole("$place/$_", read_whole($models{$_})) for keys %models;
	}
	return;
}

# A safetensors file that a command is to write is not there before, and is right after.
sub run_and_compare
{
	my ($command, $name, @written) = @_;
	unlink @written;
	my $script = write_whole("$folder/script.sh", "cd '$folder/here'\n$command\n");
	my $output = `bash -e -o pipefail '$script' 2>&1`;
	is($?, 0, $name) or diag($output);
	is_file($_, $models{s{.*/}{}r}, '... and gives back the file, byte for byte') for @written;
	return;
}

sub run_shell
{
	my ($text) = @_;
	for my $command (commands_of($text))
	{
		if (my $reason = delete $skipped{$command})
		{
			note("not run: $command: $reason");
			next;
		}
		my @written = map { "$folder/here/$_" } $command =~ /(?:-o|>) (\w+\.safetensors)/g;
		run_and_compare(replaced($command), "it runs: $command", @written);
	}
	return;
}

sub run_sql
{
	my ($text) = @_;
	my $script = write_whole("$folder/script.sql", replaced($text));
	my @written = map { "$folder/out/$_" } $text =~ m{sparse_export\([^)]*'/tmp/(\w+\.safetensors)'\)}g;
	my ($first) = $text =~ /(.*)/;
	run_and_compare("psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --file='$script'", "it runs: $first ...", @written);
	return;
}

for my $block (blocks_of(slurp_file('README.md')))
{
	my ($language, $text) = @$block;
	my ($first) = $language eq 'sql' ? $text =~ /(.*?)\s*(?:--.*)?\n/ : commands_of($text);
	my $state = delete $blocks{$first};
	ok(defined $state, "a block of README that this test knows: $first") or next;
	begin_with($state);
	lay_out_models();
	if ($language eq 'sql') { run_sql($text) }
	elsif ($language =~ /^(?:shell|sh|bash)$/) { run_shell($text) }
	else { fail("who runs $language?") }
}
is(join(', ', sort keys %blocks), '', 'README has all blocks that this test expects');
is(join(', ', sort keys %skipped), '', '... and all commands that it passes over');

$node->stop;
done_testing();
