# An installation that was upgraded is one that was made anew: whatever the extension owns
# is the same, to the body, the comment and the privileges of each function, from every
# version that was released (test/golden/sql) on; what is stored stays as it was. That a
# forgotten change would be found is shown with a made-up release.
use strict;
use warnings;

use File::Basename qw(basename);
use File::Copy qw(copy);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('upgrade');
$node->init;
$node->start;

my ($share) = map { chomp; $_ } `pg_config --sharedir`;
my $extension = "$share/extension";
my ($current) = slurp_file("$extension/sparse.control") =~ /default_version = '(.*)'/;
my $sql = slurp_file("$extension/sparse--$current.sql");

# All members of the extension with what makes them what they are, none of it an oid.
my $members = q{
	select o.type || ' ' || o.identity || e'\n  ' || concat_ws(e'\n  ',
		obj_description(d.objid, (select relname from pg_class where oid = d.classid)),
		(select case when p.prokind = 'a'
				then (select row (a.aggkind, a.aggnumdirectargs, a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
						a.aggtranstype::regtype, a.aggtransspace, a.agginitval, p.proparallel, p.provolatile)::text from pg_aggregate a where a.aggfnoid = p.oid)
				else pg_get_functiondef(p.oid) end || coalesce(e'\n  ' || p.proacl::text, '')
		 from pg_proc p where d.classid = 'pg_proc'::regclass and p.oid = d.objid),
		(select row (t.typlen, t.typbyval, t.typtype, t.typcategory, t.typdelim, t.typinput, t.typoutput, t.typreceive, t.typsend,
				t.typmodin, t.typanalyze, t.typalign, t.typstorage, t.typnotnull, format_type(t.typbasetype, t.typtypmod), t.typdefault, t.typacl)::text
		 from pg_type t where d.classid = 'pg_type'::regclass and t.oid = d.objid),
		(select row (c.castsource::regtype, c.casttarget::regtype, c.castfunc::regprocedure, c.castcontext, c.castmethod)::text
		 from pg_cast c where d.classid = 'pg_cast'::regclass and c.oid = d.objid),
		(select row (q.oprcode, q.oprrest, q.oprjoin, q.oprcom::regoperator, q.oprnegate::regoperator, q.oprcanmerge, q.oprcanhash)::text
		 from pg_operator q where d.classid = 'pg_operator'::regclass and q.oid = d.objid),
		(select pg_get_viewdef(c.oid) || coalesce(c.reloptions::text, '') || coalesce(c.relacl::text, '')
		 from pg_class c where d.classid = 'pg_class'::regclass and c.oid = d.objid),
		(select row (t.evtname, t.evtevent, t.evtfoid::regproc, t.evtenabled, t.evttags)::text
		 from pg_event_trigger t where d.classid = 'pg_event_trigger'::regclass and t.oid = d.objid))
	from pg_depend d, pg_identify_object(d.classid, d.objid, d.objsubid) o
	where d.deptype = 'e' and d.refclassid = 'pg_extension'::regclass
		and d.refobjid = (select oid from pg_extension where extname = 'sparse')
	order by o.type, o.identity};

# The store's tables, as a dump would make them.
sub store_of
{
	my ($database) = @_;
	my ($out, $err) = run_command([ 'pg_dump', '--schema-only', '--schema=sparse', '-h', $node->host, '-p', $node->port, $database ]);
	return join "\n", grep { !/^--|^\\(?:un)?restrict|^SET |^$/ } split /\n/, $out;
}

sub install_in
{
	my ($database, $version) = @_;
	$node->safe_psql('postgres', "create database $database");
	$node->safe_psql($database, "create extension sparse version '$version'");
}

my $number = 0;

# A store made by the old version, a model in it, then the update: what is told, and found.
sub upgraded
{
	my ($old) = @_;
	my $database = 'upgrade' . ++$number;
	install_in($database, $old);
	$node->safe_psql($database, 'select sparse_create_store()');
	my $file = data_file('mini-base');
	$node->safe_psql($database, "select sparse_import_file('m', '$file')");
	$node->safe_psql($database, 'alter extension sparse update');
	$node->safe_psql($database, 'select sparse_update_store()');
	is(sha256_of_version($node, 'm', $database), sha256_of_file($file), "a model stored by $old is the same after the update");
	is($node->safe_psql($database, 'select count(*) from sparse_verify($$m$$)'), 0, 'and found sound');
	return $database;
}

install_in('fresh', $current);
$node->safe_psql('fresh', 'select sparse_create_store()');
my $fresh = $node->safe_psql('fresh', $members);
my $fresh_store = store_of('fresh');
cmp_ok(scalar(() = $fresh =~ /^function /mg), '>', 100, 'the extension has functions');

# ---- what was released ----

for my $file (sort glob 'test/golden/sql/sparse--*.sql')
{
	my ($old) = basename($file) =~ /^sparse--(.*)\.sql$/;
	if ($old eq $current)
	{
		is($sql, slurp_file($file), "$old is released: a change of its SQL makes it another version");
		next;
	}
	copy($file, $extension) or BAIL_OUT("$extension: $!");
	my $database = upgraded($old);
	is($node->safe_psql($database, $members), $fresh, "what $old was updated to is what is installed anew");
	is(store_of($database), $fresh_store, 'and so is its store');
}

# ---- what would be forgotten ----

# A release that lacks a function, has another comment, and another body.
my ($function) = $sql =~ /^(create function sparse_untag\b[^;]*;\n)/m;
my ($comment) = $sql =~ /^(comment on function sparse_untag\b.*?;\n)/ms;
ok($function && $comment, 'a function to leave out is found');
my $old = $sql;
$old =~ s/\Q$function$comment\E// or die 'its comment follows the function';
append_to_file("$extension/sparse--0.0.1.sql", $old);
append_to_file("$extension/sparse--0.0.1--$current.sql", $function . $comment);
append_to_file("$extension/sparse--0.0.2.sql", $old);
append_to_file("$extension/sparse--0.0.2--$current.sql", $function);

my $whole = upgraded('0.0.1');
is($node->safe_psql($whole, $members), $fresh, 'a complete update is found to be the same as a fresh installation');
is(store_of($whole), $fresh_store, 'with the same store');
my $part = upgraded('0.0.2');
isnt($node->safe_psql($part, $members), $fresh, 'an update without the comment of one function is found out');

$node->stop;
done_testing();
