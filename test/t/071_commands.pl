# What one does with versions from a shell: names, messages, tags and parents; files in and out, all or some;
# the way back from adopt.
use strict;
use warnings;

use ClientTest;
use File::Path 'make_path';
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = client_node(sparse_node('commands'));
my $scratch = PostgreSQL::Test::Utils::tempdir();

sub names { return join ' ', map { "$_->{name}\@$_->{revision}" } @{ client_json("ls @_", 'ls', @_) } }

# ---- no store ----

psql_one('create database bare');
{
	local $ENV{PGDATABASE} = 'bare';
	client_fails(6, 'has no extension sparse', 'without the extension a command says what is missing', 'ls');
	$node->safe_psql('bare', 'create extension sparse');
	client_fails(6, 'has no store', '... and without a store', 'ls');
	my (undef, undef, $err) = client('ls');
	like($err, qr/select sparse_create_store\(\)/, '... and how one is made');
}

# ---- messages, names, tags ----

client_works('a base is pushed', 'push', data_file('mini-base'), 'org/base', '-q', '-m', q{the "first" one});
client_works('a fine-tune is pushed', 'push', data_file('mini-finetune'), 'org/tuned', '-q', '-P', 'org/base', '--metadata', '{"license": "mit"}');
client_works('another revision', 'push', data_file('mini-finetune-strong'), 'org/tuned', '-q', '-m', 'stronger');
is(join('|', map { $_->{message} // '' } @{ client_json('log', 'log') }), 'stronger||the "first" one', 'messages are kept');
client_works('tag', 'tag', 'org/tuned@1', 'production');
my $ls = client_json('ls', 'ls');
is(join('|', map { join ' ', @$_{qw(name revision kind)}, $_->{tags} // '' } @$ls), 'org/base 1 model |org/tuned 2 model production@1', 'ls lists each name once, with its tags');
is(names('org/t*'), 'org/tuned@2', '... those of a pattern');
is(names('org/tune?'), 'org/tuned@2', '... of one character');
is(names('%'), '', '... in which SQL has no say');
is(names('--tag', 'production'), 'org/tuned@2', '... those with a tag');
is(names('--kind', 'dataset'), '', '... of a kind');
is(names('--meta', '{"license": "mit"}'), '', '... with metadata, of the newest revision');
client_works('rename', 'rename', 'org/tuned', 'org/renamed');
is(names(), 'org/base@1 org/renamed@2', 'a name is another now');
like(client_works('show', 'show', 'org/renamed@1'), qr/^tags +production$/m, 'show says its tags');

# ---- lineage ----

is(join(' ', map { "$_->{role} $_->{name}" } @{ client_json('parents', 'parents', 'org/renamed') }), 'revision org/renamed@1', 'parents are listed');
client_works('a parent more', 'parents', 'org/renamed', 'org/base', '--role', 'distilled');
is(join(' ', map { "$_->{role} $_->{name}" } @{ client_json('parents', 'parents', 'org/renamed') }), 'revision org/renamed@1 distilled org/base@1', '... is added');
client_works('... and taken back', 'parents', '-D', 'org/renamed', 'org/base');
is(scalar @{ client_json('parents', 'parents', 'org/renamed') }, 1, '... is gone');
client_fails(2, '--delete needs', 'which one is to be said', 'parents', '-D', 'org/renamed');
is(client_json('find-parent', 'find-parent', 'org/renamed@1')->[0]{name}, 'org/base@1', 'the best parent is found');

# ---- away and back ----

client_works('two are dropped', 'rm', 'org/renamed@1', 'org/renamed@2', '-q');
is(names(), 'org/base@1', '... and gone');
my ($one, $two) = map { $_->{version} } reverse @{ client_json('log', 'log', '-n', 2) };
client_fails(6, 'does not exist', 'all or none are there again', 'undrop', $one, 'org/nothing');
is(names(), 'org/base@1', '... none');
client_works('two are there again', 'undrop', $one, $two, '-q');
is(names(), 'org/base@1 org/renamed@2', '... both');

# ---- some files of many ----

my $tree = "$scratch/tree";
make_path("$tree/one/sub", "$tree/org/two");
system('cp', data_file('mini-base'), "$tree/one/model.safetensors") == 0 or die;
system('cp', data_file('mini-finetune'), "$tree/org/two/model.safetensors") == 0 or die;
append_to_file("$tree/one/$_->[0]", $_->[1]) for ["config.json", "{}"], ["README.md", "words"], ["sub/notes.md", "notes"];

client_works('some of a folder', 'push', "$tree/one", 'some', '-q', '--exclude', '*.md');
is(join(' ', map { $_->{path} } @{ client_json('show', 'show', 'some')->{files} }), 'config.json model.safetensors', '... are pushed');
client_fails(1, 'none of the files', 'none at all is an error', 'push', "$tree/one", 'none', '--include', '*.x');
client_works('adopt', 'adopt', $tree, '-q');
client_works('some of a version', 'pull', 'one', '-o', "$scratch/some", '-q', '--include', '*.md', '--exclude', 'READ*');
is(join(' ', sort map { s{^\Q$scratch/some/\E}{}r } grep { -f } glob("$scratch/some/* $scratch/some/*/*")), 'sub/notes.md', '... are pulled');
client_works('one of many', 'pull', 'one', '-o', "$scratch/alone", '-q', '--include', 'README.md');
ok(-f "$scratch/alone/README.md", '... stays a file in a folder');
client_fails(6, 'none of the files', '... none at all is an error', 'pull', 'one', '-o', "$scratch/nothing", '--include', '*.x');

# ---- there and back ----

client_works('export', 'export', "$scratch/back", 'o*', '-q');
is(system('diff', '-r', "$tree/one", "$scratch/back/one"), 0, 'what was adopted comes back, all of it');
is(system('diff', '-r', "$tree/org", "$scratch/back/org") >> 8, 1, '... with what else has such a name');
is(system('diff', '-r', "$tree/org/two", "$scratch/back/org/two"), 0, '... byte for byte');
ok(!-e "$scratch/back/some", '... and nothing else');
my ($code, $out, $err) = client('pull', 'one', '-o', "$scratch/back/one");
like($err, qr/^4 files of \S+ MB; 0 B of that were not there/m, 'a pull says what it took');
is(client_works('status', 'status', "$tree/one", 'one'), "nothing differs\n", 'status finds no difference');
append_to_file("$tree/one/README.md", 'more');
append_to_file("$tree/one/new", 'new');
unlink("$tree/one/config.json");
is(join(' ', map { "$_->{path}: $_->{status};" } @{ client_json('status', 'status', "$tree/one", 'one') }),
	'README.md: changed; config.json: missing; new: only here;', '... and each that is there');

$node->stop;
done_testing();
