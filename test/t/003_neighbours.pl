# Other modules in the same server: sparse.so shows them its entry points and nothing else,
# and none of their functions, whatever they are called, takes the place of one of ours.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
my $folder = PostgreSQL::Test::Utils::tempdir();
my $node = sparse_node('neighbours');

sub output_of { my ($out, $err) = run_command([@_]); die "@_: $err" if $err; return $out }
sub symbols { my ($kinds, @nm) = @_; return map { /^[0-9a-f]+ ($kinds) (\w+)/ ? $2 : () } split /\n/, output_of('nm', @nm) }

my ($module) = map { "$_/sparse.so" } split /\n/, output_of('pg_config', '--pkglibdir');

# ---- what is seen of us ----

my @called = split /\n/, $node->safe_psql('postgres', q{
	select distinct prosrc from pg_proc
	where probin = '$libdir/sparse'});
my @expected = sort 'Pg_magic_func', '_PG_init', @called, map { "pg_finfo_$_" } @called;
is_deeply([ sort(symbols(qr/[A-Z]/, '-D', '--defined-only', $module)) ], \@expected,
	'the module exports what SQL calls, and nothing else');

# ---- what others have ----

my %entry = map { $_ => 1 } @expected;
my @ours = grep { !$entry{$_} && !/^_(init|fini)$|^(de)?register_tm_clones$|^frame_dummy$|^__/ } symbols(qr/[tT]/, $module);
my %theirs = map { $_ => 1 } 'has_suffix', @ours, grep { /^sparse_|^sdelta_/ } @called;
cmp_ok(scalar keys %theirs, '>', 500, 'the neighbour has functions of the same names as all of ours');
ok($theirs{has_suffix}, 'has_suffix is one of them');
# (which of them a linker has made part of their callers is its affair)
cmp_ok(scalar(grep { /^store_/ } keys %theirs), '>', 5, 'and so are those of the store');

# The functions in a file of their own, where no header has declared them otherwise.
sub write_source { my ($name, @lines) = @_; append_to_file("$folder/$name", "$_\n") for @lines; return "$folder/$name" }
my $module_source = write_source('module.c', '#include "postgres.h"', '#include "fmgr.h"', 'PG_MODULE_MAGIC;');
my $functions = write_source('functions.c', 'int dprintf(int, const char *, ...);',
	map { qq(void $_(void) { dprintf(2, "$_ of the neighbour was called\\n"); __builtin_trap(); }) } sort keys %theirs);
system('gcc', '-shared', '-fPIC', '-w', '-fno-builtin', '-I' . output_of($pg_config, '--includedir-server'),
	$module_source, $functions, '-o', "$folder/neighbour.so") == 0
  or BAIL_OUT('the neighbour does not compile');

$node->append_conf('postgresql.conf', "shared_preload_libraries = '$folder/neighbour.so'");
$node->restart;
import_file($node, 'acme/base', 'mini-base');
import_file($node, 'acme/tuned', 'mini-finetune', 'acme/base');
is(sha256_of_version($node, 'acme/tuned'), sha256_of_file(data_file('mini-finetune')), 'a model comes out as it went in');
is($node->safe_psql('postgres', q{
		do $$ begin perform sparse_commit_rows('acme/rows', 'select i, repeat(i::text, 9) from generate_series(1, 1000) i'); end $$;
		select count(*) from sparse_rows('acme/rows') r}),
	1000, 'a dataset does');
is($node->safe_psql('postgres', q{select count(*) from sparse_verify('acme/tuned')}), 0, 'and both are found sound');
unlike(slurp_file($node->logfile), qr/of the neighbour was called/, 'the neighbour was not called');

$node->stop;
done_testing();
