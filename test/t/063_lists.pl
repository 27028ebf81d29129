# What pg_sparse lists: tables for people, JSON and CSV that parse, colours only where
# there is a terminal; help for every command; exit codes.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = client_node(sparse_node('lists'));
my @commands = qw(push pull adopt export status ls log ancestry show diff tree tag parents find-parent rename commit checkout merge savings verify rm undrop gc serve);

client_works('a base is pushed', 'push', data_file('mini-base'), 'org/base', '-q');
client_works('a fine-tune is pushed', 'push', data_file('mini-finetune'), 'org/tuned', '-q', '--parent', 'org/base',
	'--metadata', '{"note": "a \"quoted\", and\nbroken"}');
psql_one(q{update sparse.version set message = E'with, a comma "and quotes"\n\033[31mand an escape' where name = 'org/tuned'});

# Rows of CSV, without a library: quotes, commas and line breaks within quotes.
sub parse_csv
{
	my ($text) = @_;
	my (@rows, @row);
	while ($text =~ /\G(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n)/g)
	{
		my ($quoted, $plain, $end) = ($1, $2, $3);
		push @row, defined $quoted ? $quoted =~ s/""/"/gr : $plain;
		push(@rows, [@row]), @row = () if $end eq "\n";
		last if pos($text) == length $text;
	}
	is(pos($text) // 0, length $text, '... and all of it is CSV');
	return @rows;
}

# ---- log ----

my $log = client_json('log lists all versions', 'log');
is(join(' ', map { $_->{name} } @$log), 'org/tuned@1 org/base@1', '... newest first');
is($log->[0]{message}, qq{with, a comma "and quotes"\n\e[31mand an escape}, '... with their messages as they are');
is($log->[1]{raw_bytes}, -s data_file('mini-base'), '... and numbers that are numbers');
my @rows = parse_csv(client_works('log as CSV', 'log', '--csv'));
is(scalar @rows, 3, '... has a head and a line for each');
is($rows[1][-1], $log->[0]{message}, '... with the same message');
is(scalar @{ client_json('log of one', 'log', '-n', 1) }, 1, '... is one');
{
	my $iso = q{to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')};
	local $ENV{PGOPTIONS} = '-c datestyle=German -c timezone=UTC';
	for my $rows ($log, client_json('log in another style of dates', 'log'), client_json('show', 'show', 'org/tuned')->{version})
	{
		like($rows->[0]{created_at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d:\d\d$/, '... has its times in full, as ISO 8601 writes them');
	}
	my ($first) = grep { $_->{name} eq 'org/tuned@1' } @{ client_json('log', 'log') };
	is(substr($first->{created_at}, 0, 19), psql_one("select $iso from sparse.version where name = 'org/tuned' and revision = 1"), '... to the second, and right');
	like(client_works('log for people', 'log'), qr/ \d{4}-\d\d-\d\d \d\d:\d\d  /, '... shows the minute');
}
client_fails(2, 'takes a number', "a count of $_ is a wrong command line", 'log', '-n', $_) for 'x', '-1', '1x', '99999999999999999999';
my $out = client_works('log as a table', 'log');
unlike($out, qr/\e/, '... lets no escape through');
like($out, qr/^version +name +state/, '... has a head');
$log = client_json('log of a name', 'log', 'org/tuned');
is(join(' ', map { $_->{name} } @$log), 'org/tuned@1', '... has its revisions');
is(client_json('log of an id', 'log', $log->[0]{version})->[0]{name}, 'org/tuned@1', '... those of its name');
client_fails(6, 'does not exist', 'log of a name that is not there', 'log', 'org/nothing');
$log = client_json('ancestry of a version', 'ancestry', 'org/tuned');
is(join(' ', map { "$_->{distance} $_->{name}" } @$log), '0 org/tuned@1 1 org/base@1', '... has its ancestors');
{
	my ($code, undef, $err) = client('log', '-n', 1);
	like($err, qr/there are more/, 'a list that stops says so');
	($code, undef, $err) = client('log');
	is($err, '', '... and one that does not, nothing');
}

# ---- show, diff, savings ----

my $show = client_json('show says what a version is', 'show', 'org/tuned', '--all');
is($show->{version}[0]{metadata}{note}, qq{a "quoted", and\nbroken}, '... with metadata as JSON');
is($show->{parents}[0]{name}, 'org/base@1', '... its parents');
is($show->{files}[0]{sha256}, sha256_of_file(data_file('mini-finetune')), '... its files');
is(scalar @{ $show->{tensors} }, 11, '... and its tensors');
like(client_works('show as a table', 'show', 'org/tuned'), qr/^name +org\/tuned$/m, '... has a line for each');
@rows = parse_csv(client_works('show as CSV', 'show', 'org/tuned', '--csv'));
is($rows[0][0], 'path', '... lists the files');
my $diff = client_json('diff lists the tensors that differ', 'diff', 'org/base', 'org/tuned');
is_deeply([sort map { $_->{change} } @$diff], [('changed') x 8], '... and only those');
is(scalar @{ client_json('diff of the same', 'diff', 'org/base', 'org/base') }, 0, '... is empty');
SKIP:
{
	skip 'the server compares no values', 3
	  if psql_one(q{select count(*) from pg_proc where proname = 'sparse_compare'}) eq '0';
	my $compared = client_json('diff --all', 'diff', '--all', 'org/base', 'org/tuned');
	is(scalar(grep { ($_->{changed} // 0) > 0 } @$compared), 8, '... says by how much tensors differ');
}
my $savings = client_json('savings', 'savings');
is(scalar @$savings, 2, '... has a row for each version');
is(client_json('savings of one', 'savings', 'org/tuned')->[0]{name}, 'org/tuned', '... is of that one');
like(client_works('savings as a table', 'savings'), qr/^all +\S+ MB/m, '... has a sum');

# ---- verify, rm, gc ----

is(client_works('verify of a sound store', 'verify'), "no problems\n", '... says so');
is(scalar @{ client_json('verify of a sound store', 'verify') }, 0, '... as JSON too');
is(client_works('verify of one', 'verify', 'org/tuned', '-q'), '', '... can be silent');
client_works('a version is dropped', 'rm', 'org/tuned');
is(client_json('log', 'log', '-n', 1)->[0]{state}, 'dropped', '... and shown as such');
client_fails(6, 'not ready', '... and cannot be pulled', 'pull', 'org/tuned', '-o', PostgreSQL::Test::Utils::tempdir() . '/x');
is(client_json('gc', 'gc', '--older-than', '0 seconds')->{versions}, 1, '... and collected');

# a chunk that is damaged on disk
client_works('a fine-tune is pushed again', 'push', data_file('mini-finetune'), 'org/tuned', '-q', '--parent', 'org/base');
psql_one(q{update sparse.chunk c set delta = (select delta from sparse.chunk d where d.object <> c.object and d.seq = 0 order by d.object limit 1)
	where seq = 0 and object = (select max(object) from sparse.chunk)});
my ($code, $problems, $err) = client('verify');
ok($code eq '4' && $problems =~ /^version +name +file/ && $err =~ /problems? found/, 'verify of a damaged store ends with exit code 4')
  or diag("$code: $problems$err");
# of a dataset, and of a version before the others: each is looked at
psql_one(q{select sparse_commit_rows('rows/sound', 'select 1 as i'), sparse_commit_rows('rows/damaged', 'select 2 as i')});
like(client_works('verify of a dataset', 'verify', 'rows/sound'), qr/^no problems$/, '... says so');
psql_one(q{set session_replication_role = replica; delete from sparse.column_chunk where version = sparse_version_id('rows/damaged')});
($code, $problems) = client('verify', '--csv');
ok($code eq '4' && $problems =~ m{org/tuned\@\d} && $problems =~ m{rows/damaged\@1,default,i,,} && $problems !~ m{sound}, 'verify goes on behind what is damaged')
  or diag("$code: $problems");
client_fails(4, '', '... and so does a pull', 'pull', 'org/tuned', '-q', '-o', my $damaged = PostgreSQL::Test::Utils::tempdir() . '/y');
ok(!-e $damaged, '... which leaves no file');

# ---- tags and drawings, where the server has them ----

SKIP:
{
	skip 'the server has no tags', 12
	  if psql_one(q{select count(*) from pg_proc where proname = 'sparse_tag'}) eq '0';
	client_works('a version gets a tag', 'tag', 'org/base', 'production');
	is(client_json('its tags', 'tag', 'org/base')->[0]{tag}, 'production', '... are listed');
	is(client_json('the tag', 'show', 'org/base@production')->{version}[0]{name}, 'org/base', '... is a name of the version');
	client_works('a tag is taken away', 'tag', '-D', 'org/base', 'production');
	is(scalar @{ client_json('its tags', 'tag', 'org/base') }, 0, '... are none now');
	like(client_works('the family is drawn', 'tree', 'org/base'), qr/org\/base.*\n.*org\/tuned/, '... as a tree');
}

# ---- widths ----

SKIP:
{
	skip 'script is not installed', 4 unless `script --version 2>/dev/null` =~ /util-linux/;
	my $narrow = `TERM=xterm NO_COLOR=1 script -qec 'stty cols 50; pg_sparse log' /dev/null 2>&1 < /dev/null`;
	my ($longest) = sort { $b <=> $a } map { length } grep { !/not shown/ } split /\r?\n/, $narrow;
	cmp_ok($longest, '<=', 50, 'a table is no wider than the terminal') or diag($narrow);
	like($narrow, qr/^version  name/m, '... which has its first columns');
	like($narrow, qr/not shown, for want of room: .*created_at.*--json/, '... and says what it leaves out');
	unlike(`TERM=xterm NO_COLOR=1 script -qec 'stty cols 500; pg_sparse log' /dev/null 2>&1 < /dev/null`, qr/not shown/, '... and a wide one nothing');
}

# ---- colours ----

SKIP:
{
	skip 'script is not installed', 2 unless `script --version 2>/dev/null` =~ /util-linux/;
	my $coloured = `TERM=xterm script -qec 'pg_sparse log' /dev/null 2>&1 < /dev/null`;
	like($coloured, qr/\e\[1m/, 'heads are bold on a terminal');
	$coloured = `TERM=xterm NO_COLOR=1 script -qec 'pg_sparse log' /dev/null 2>&1 < /dev/null`;
	unlike($coloured, qr/\e\[1m/, '... unless NO_COLOR is set');
}

# ---- command lines ----

for my $command (@commands)
{
	my ($code, $out, $err) = client($command, '--help');
	ok($code eq '0' && $out =~ /^Usage:\n  pg_sparse $command/m && $out =~ /--host/ && $err eq '', "$command --help helps");
	client_fails(2, 'unknown option', "$command knows its options", $command, '--nothing');
	client_fails(2, 'expected', "$command counts its arguments", $command, $command =~ /^(rm|undrop)$/ ? () : qw(a b c d));
}
like(client_works('--help', '--help'), qr/$_ /, "--help names $_") for @commands;
client_fails(2, 'no output', 'pull wants an output', 'pull', 'x');
client_fails(2, 'needs a value', 'an option wants its value', 'pull', 'x', '-o');
client_fails(2, 'number from 1', 'jobs are a number', 'pull', 'x', '-o', 'y', '-j', $_) for ('0', 'many', '-1', '65', '');

$node->stop;
done_testing();
