# What holds for everything that create extension brings: it is described, it is
# documented, and it leaves the search path to nobody.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('surface');
$node->init;
$node->start;
$node->safe_psql('postgres', 'create extension sparse');

# One line for each member of the extension in the catalog given that meets the condition.
sub members
{
	my ($catalog, $condition) = @_;
	my $lines = $node->safe_psql(
		'postgres', "
		select pg_describe_object(d.classid, d.objid, 0)
		from pg_depend d
		join pg_extension e on e.oid = d.refobjid and e.extname = 'sparse'
		join $catalog m on m.oid = d.objid
		where d.classid = '$catalog'::regclass
		and d.refclassid = 'pg_extension'::regclass
		and d.deptype = 'e'
		and $condition
		order by 1");
	return split /\n/, $lines;
}

sub is_nothing
{
	my ($name, @wrong) = @_;
	ok(!@wrong, $name) or diag(map { "  $_\n" } @wrong);
}

is_nothing('every function has a comment',
	members('pg_proc', "obj_description(m.oid, 'pg_proc') is null"));
is_nothing('every type has a comment',
	members('pg_type', "m.typelem = 0 and m.typrelid = 0 and obj_description(m.oid, 'pg_type') is null"));
is_nothing('every operator has a comment',
	members('pg_operator', "obj_description(m.oid, 'pg_operator') is null"));

is_nothing('every function written in SQL or PL/pgSQL fixes its search path or has a parsed body',
	members('pg_proc', "
		m.prolang in (select oid from pg_language where lanname in ('sql', 'plpgsql'))
		and m.prosqlbody is null
		and not exists (select from unnest(m.proconfig) s where s like 'search_path=%')"));
is_nothing('no function runs with the rights of its owner and an open search path',
	members('pg_proc', "
		m.prosecdef
		and not exists (select from unnest(m.proconfig) s where s ~ '^search_path=pg_catalog, *\"?pg_temp\"?\$')"));
is_nothing('every function that returns a set of rows names its columns',
	members('pg_proc', "m.proretset and m.prorettype = 'record'::regtype and m.proargnames is null"));

# A name in the manual stands with its parenthesis, as it is called.
my $manual = slurp_file('docs/reference.md');
my @names = map { s/^function (?:\w+\.)?(\w+)\(.*/$1/r }
  members('pg_proc', "m.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
	and m.oid not in (select unnest(array[typinput, typoutput, typreceive, typsend, typmodin, typmodout]::oid[]) from pg_type)");
is_nothing('every function is in docs/reference.md', grep { $manual !~ /\b\Q$_\E\s*\(/ } @names);

my @settings = split /\n/, $node->safe_psql('postgres',
	"load 'sparse'; select name from pg_settings where name like 'sparse.%'");
is_nothing('every setting is in docs/reference.md', grep { $manual !~ /\Q$_\E/ } @settings);

$node->safe_psql('postgres', 'drop extension sparse');
is($node->safe_psql('postgres', "select count(*) from pg_proc where proname like 'sparse%'"),
	'0', 'an extension without a store is dropped without a trace');

$node->safe_psql('postgres', 'create schema elsewhere; create extension sparse schema elsewhere');
is($node->safe_psql('postgres', "select count(*) from pg_proc p where proname like 'sparse%' and pronamespace <> 'elsewhere'::regnamespace"),
	'0', 'all functions go to the schema that the extension is created in');

$node->stop;
done_testing();
