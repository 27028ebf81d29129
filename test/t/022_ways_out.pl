# Whichever way out a function of the extension takes, whoever called it is himself
# afterwards. Every function is cancelled at many moments (the same call over and over,
# until the time is up) in an exception handler, by a reader of some versions, by the store's
# owner and by a superuser; in the handler and after it the user, the settings, the versions
# that are seen and the refusal of chunks must be as before, and the session usable.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $moments = $ENV{SPARSE_WAYS_OUT} || 4;
srand(1);

# ---- a store, its owner, and a reader of most of it ----

my $node = PostgreSQL::Test::Cluster->new('ways_out');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nlog_statement = none\nlog_min_messages = fatal");
$node->start;
my $files = PostgreSQL::Test::Utils::tempdir();

# A model of 24 tensors, and one with small changes.
sub model_file
{
	my ($name, $change) = @_;
	my ($header, $content) = ('', '');
	srand(2);
	for my $t (0 .. 23)
	{
		my $from = length $content;
		$content .= pack 'f<*', map { sin($_ * ($t + 1)) / 9 + $change * rand() } 1 .. 1024;
		$header .= ($header ? ',' : '{') . qq("t$t":{"dtype":"F32","shape":[32,32],"data_offsets":[$from,@{[length $content]}]});
	}
	$header .= '}';
	open my $file, '>:raw', "$files/$name" or die;
	print $file pack('Q<', length $header), $header, $content;
	close $file;
}
model_file('base.safetensors', 0);
model_file('child.safetensors', 1e-5);
model_file('other.safetensors', 0.3);
mkdir "$files/out" or die;

$node->safe_psql('postgres', qq{
	create extension sparse;
	create role keeper login;
	create role reader login;
	grant create on database postgres to keeper;
	grant pg_read_server_files, pg_write_server_files to keeper, reader;
	set role keeper;
	select sparse_create_store();
	set search_path = public, sparse;
	select sparse_import_file('public/base', '$files/base.safetensors');
	select sparse_import_file('public/child', '$files/child.safetensors', '{public/base}');
	select sparse_commit_rows('public/rows', 'select g as id, md5(g::text) as t from generate_series(1, 3000) g', key => '{id}');
	select sparse_commit_rows('public/rows2', 'select g as id, md5((g + g % 7 / 6)::text) as t from generate_series(1, 3000) g', 'public/rows', '{id}');
	select sparse_import_file('secret/m', '$files/other.safetensors');
	select sparse_begin('public/open', '[{"path": "x", "size": 100, "sha256": "@{['ab' x 32]}"}]');
	grant usage on schema sparse to reader;
	grant select, insert, update on sparse.version to reader;
	alter table sparse.version enable row level security;
	create policy of_public on sparse.version using (name not like 'secret/%');
	reset role;
	create schema own authorization reader;
	grant all on schema own to keeper;
	create type public.one_row as (id integer, t text);
});
my ($base, $child, $rows, $open) = split /\|/, $node->safe_psql('postgres',
	q{select sparse_version_id('public/base'), sparse_version_id('public/child'), sparse_version_id('public/rows'),
	         (select id from sparse.version where state = 'open')});

# ---- what is called ----

# Arguments where they matter, by function; {i} differs from call to call. A name that is both: by the type of the first argument.
my $bytes = "pg_read_binary_file('$files/base.safetensors')";
my $slow_rows = q{select g as id, md5(g::text) as t from generate_series({i}, 2000 + {i}) g};
my %arguments = (
	sdelta_encode => "sha256('a'), array[sha256('b')], 'U8'",
	sdelta_apply => "array[sha256('b')], public.sdelta_encode(sha256('a'), array[sha256('b')], 'U8')",
	sdelta_apply_one => "sha256('b'), public.sdelta_encode(sha256('a'), array[sha256('b')], 'U8')",
	sparse_drop => "'public/child'",
	sparse_collect => "'1 second'",
	sparse_approximate => "'public/base', 'int8', name => 'public/approximate{i}'",
	sparse_find_parent => "'public/child'",
	sparse_find_parent_file => "'$files/child.safetensors'",
	sparse_import_file => "'public/new{i}', '$files/other.safetensors', find_parents => true",
	sparse_import_bytes => "'public/new{i}', $bytes || sha256('{i}'), '{public/base}'",
	sparse_reconstruct_file => "'public/child', 'model.safetensors'",
	sparse_tensor => "'public/child', 't3'",
	sparse_slice => "'public/child', 't3', 2, 9",
	sparse_read => "'public/child', 'child.safetensors', 0, 5000",
	sparse_export => "'public/child', '$files/out/{i}'",
	sparse_begin => "'public/new{i}', '[{\"path\": \"x\", \"size\": 100, \"sha256\": \"@{['cd' x 32]}\"}]', '{public/base}'",
	sparse_layout => "$open",
	sparse_write => "$open, null, 0, decode(repeat('ab', 100), 'hex'), 'x'",
	sparse_write_delta => "$open, null, 0, public.sdelta_encode(decode(repeat('ab', 100), 'hex')), 'x'",
	sparse_write_deltas => "$open, null, '{0}', array[public.sdelta_encode(decode(repeat('ab', 100), 'hex'))], 'x'",
	sparse_commit => "$open",
	sparse_abort => "$open",
	sparse_delta => "'public/child', '{public/base}'",
	sparse_delta_factors => "'public/child', '{public/base}'",
	sparse_find_file => "sha256($bytes)",
	sparse_commit_rows => "'public/new{i}', \$q\$$slow_rows\$q\$, 'public/rows', '{id}'",
	sparse_commit_splits => "'public/new{i}', jsonb_build_object('a', \$q\$$slow_rows\$q\$, 'b', 'select 1 as x')",
	sparse_estimate_rows => "\$q\$$slow_rows\$q\$, 'public/rows'",
	sparse_rows_as => "null::public.one_row, 'public/rows'",
	sparse_rows => "'public/rows'",
	sparse_row => "'public/rows', '17'",
	sparse_checkout => "'public/rows', 'own.t{i}'",
	sparse_splits => "'public/rows'",
	sparse_columns => "'public/rows'",
	sparse_row_diff => "'public/rows', 'public/rows2'",
	sparse_merge_rows => "'public/new{i}', 'public/rows', 'public/rows2', 'ours', 'public/rows'",
	sparse_merge_conflicts => "'public/rows', 'public/rows2', 'public/rows'",
	sparse_verify_rows => "'public/rows'",
	sparse_compare => "'public/base', 'public/child'",
	sparse_common_ancestor => "'public/base', 'public/child'",
	sparse_path => "'public/base', 'public/child'",
	sparse_rename => "'public/child', 'public/renamed{i}'",
	sparse_tag => "'public/child', 'tag{i}'",
	sparse_graph => "'public/child', 'svg'",
	sparse_estimate_file => "'$files/child.safetensors', '{public/base}'",
	sparse_estimate => "'public/child', 'public/base'",
	sparse_try_import => "'$files/other.safetensors'",
	sparse_report => "'html'",
	sparse_rebase => "'public/child', 'public/base'",
	sparse_optimize => "'public/child'",
	sparse_materialize => "'public/child'",
	sparse_repack => "'public/child', 1",
	sparse_nightly => "'1 minute'",
	sparse_repack_preview => "'public/child', 1",
	sparse_expire => "keep_last => 1",
	sparse_batch => "'[]'",
	sparse_routing_savings => "'select ''{\"requested\": 1, \"prompt_tokens\": 1, \"output_tokens\": 1}''::jsonb from generate_series(1, 3)'",
	sparse_tally_sum => "by_predictor) from (select by_predictor from sparse.version",
	sparse_measure_zstd => "'public/child'");
my %by_type = (
	bigint => $child, integer => 1, text => "'public/child'", 'text[]' => "'{}'", bytea => "sha256('a')", jsonb => "'{}'",
	interval => "'1 second'", boolean => 'false', date => 'current_date', numeric => 1, 'double precision' => 1,
	sdelta => "public.sdelta_encode(sha256('a'))", cstring => "'(none)'::cstring", 'bigint[]' => "array[$child]::bigint[]", 'bytea[]' => "'{}'",
	anyelement => 'null::public.one_row');
my %takes_long = map { $_ => 1 } qw(sparse_approximate sparse_import_file sparse_import_bytes sparse_verify sparse_export sparse_commit_rows
  sparse_commit_splits sparse_estimate_rows sparse_verify_rows sparse_row_diff sparse_merge_rows sparse_merge_conflicts sparse_compare sparse_estimate_file
  sparse_estimate sparse_try_import sparse_report sparse_rebase sparse_optimize sparse_materialize sparse_repack sparse_nightly sparse_measure_zstd
  sparse_find_parent_file sparse_checkout sparse_collect sparse_repack_preview);

my (@calls, @not_called);
for (split /\n/, $node->safe_psql('postgres', q{
	select p.proname, p.prokind, coalesce((select string_agg(a::regtype::text, ';' order by n)
	                                       from unnest(p.proargtypes) with ordinality a (a, n)), ''), p.pronargdefaults
	from pg_proc p join pg_depend d on d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
	join pg_extension e on e.oid = d.refobjid and e.extname = 'sparse'
	order by p.oid::regprocedure::text}))
{
	my ($name, $kind, $types, $defaults) = split /\|/;
	my @types = split /;/, $types;
	if ($types =~ /internal/)
	{
		push @not_called, "$name($types)";
		next;
	}
	my $arguments = $arguments{$name};
	my $by_text = grep { $_ eq 'text' } @types[ 0, ($name eq 'sparse_rows_as') ];
	# the twin that takes an id
	$arguments =~ s/'(public\/\w+)'/public.sparse_version_id('$1')/g
	  if defined $arguments && !$by_text && $types =~ /^(anyelement;)?bigint/;
	$arguments //= join ', ', map { $by_type{$_} // "null::$_" } @types[ 0 .. $#types - $defaults ];
	push @calls, [ "$name($types)", ($kind eq 'p' ? 'call' : 'select') . " public.$name($arguments)", $takes_long{$name} ? 60 : 8, $kind ];
}

# ---- calling and cancelling ----

my $setup = q{
	set search_path = public, sparse;
	set client_min_messages = error;
	do $$ begin perform sparse_format(); end $$;
	create function pg_temp.state() returns text language plpgsql as $$
	declare
		chunks text := 'readable';
	begin
		begin
			perform from sparse.chunk limit 1;
		exception when insufficient_privilege then
			chunks := 'refused';
		end;
		return concat_ws(' ', current_user, current_setting('search_path'), current_setting('row_security'), current_setting('transaction_read_only'),
			current_setting('enable_seqscan'), current_setting('jit'), current_setting('client_encoding'), current_setting('sparse.verify_writes'),
			(select count(*) from sparse.version), chunks);
	end $$;
	create function pg_temp.probe(call text) returns text language plpgsql as $$
	declare
		i integer := 0;
	begin
		loop
			i := i + 1;
			execute replace(call, '{i}', i::text);
		end loop;
	exception when query_canceled or others then
		return sqlstate || '|' || pg_temp.state();
	end $$;
};

# More than once, for it may itself be cancelled.
my $no_timeout = "set statement_timeout = 0;\n" x 3;

# who made the cluster
my $superuser = $node->safe_psql('postgres', 'select current_user');
my %expected = (
	reader => 'reader public, sparse on off on on UTF8 on 5 refused',
	keeper => 'keeper public, sparse on off on on UTF8 on 6 readable',
	$superuser => "$superuser public, sparse on off on on UTF8 on 6 readable");
my %count = (cancelled => 0, failed => 0, missed => 0);

for my $role (sort keys %expected)
{
	my $script = $setup . "select 'first|' || pg_temp.state();\n";
	for my $c (0 .. $#calls)
	{
		my ($name, $call, $longest) = @{ $calls[$c] };
		for my $moment (1 .. $moments)
		{
			my $after = 1 + int(rand($longest * $moment / $moments));
			$script .= "set statement_timeout = $after;\nselect 'in|$c|' || pg_temp.probe(\$call\$$call\$call\$);\n$no_timeout";
			$script .= "select 'after|$c|' || pg_temp.state();\n";
		}
	}
	my ($out, $err);
	$node->psql('postgres', $script, connstr => $node->connstr('postgres') . " user=$role", stdout => \$out, stderr => \$err, on_error_stop => 0);
	my (%wrong, %seen);
	my ($after, $handled) = (0, 0);
	for (split /\n/, $out)
	{
		my ($when, $c, @said) = split /\|/;
		next unless $when eq 'in' || $when eq 'after';
		my $state = pop @said;
		$wrong{"$when $calls[$c][0] (@said): $state"} = 1 if $state ne $expected{$role};
		if ($when eq 'after') { $after++; next; }
		$handled++;
		$seen{$c} = 1;
		$count{ $said[0] eq '57014' ? 'cancelled' : 'failed' }++;
	}
	$count{missed} += @calls * $moments - $handled;
	my ($first) = $out =~ /^first\|(.*)$/m;
	is($first, $expected{$role}, "$role begins as himself");
	is_deeply([ sort keys %wrong ], [], "$role is himself in the handler, and after it, wherever a function was cancelled");
	is($after, @calls * $moments, "the session of $role is usable after every one of them");
	is_deeply([ map { $calls[$_][0] } grep { !$seen{$_} } 0 .. $#calls ], [], "$role saw every function end in his handler");
}
note scalar(@calls) . " functions x $moments moments x 3 roles: $count{cancelled} cancelled, $count{failed} refused or failed by themselves, $count{missed} when the handler was through";
note 'not called, since SQL cannot: ' . join ', ', @not_called;

# ---- errors that are no cancelling ----

# Of a user's query, at every row; in a function of his that catches what it can.
{
	my ($out, $err);
	$node->psql('postgres', $setup . q{
		create function own.raises(n integer) returns integer language plpgsql as $$
		begin
			begin
				perform from sparse.chunk limit 1;
				raise exception 'chunks are readable';
			exception when insufficient_privilege then null;
			end;
			if current_user <> 'reader' or current_setting('transaction_read_only') <> 'on' then
				raise exception 'runs as %, read-only %', current_user, current_setting('transaction_read_only');
			end if;
			if n = 700 then raise division_by_zero; end if;
			return n;
		end $$;
		select pg_temp.probe($call$select public.sparse_commit_rows('public/r{i}', 'select own.raises(g) as x from generate_series(1, 2000) g')$call$);
		select pg_temp.probe($call$select public.sparse_commit_splits('public/r{i}', '{"a": "select 1 as x", "b": "select own.raises(g) as x from generate_series(1, 2000) g"}')$call$);
		select pg_temp.probe($call$select public.sparse_estimate_rows('select own.raises(g) as x from generate_series(1, 2000) g')$call$);
		select pg_temp.state();
	}, connstr => $node->connstr('postgres') . ' user=reader', stdout => \$out, stderr => \$err, on_error_stop => 0);
	is($out, join("\n", map { ($_ < 3 ? '22012|' : '') . $expected{reader} } 0 .. 3), 'an error of his query leaves the reader himself');
}

# Damage that verification finds: a row, and nothing else is changed.
{
	my ($out, $err);
	$node->safe_psql('postgres', q{
		set search_path = public, pg_catalog;
		update sparse.chunk c set delta = (select o.delta from sparse.chunk o where o.object <> c.object order by o.object desc limit 1)
		where c.object in (select object from sparse.tensor where version = sparse_version_id('public/child') and name in ('t3', 't9'));
		update sparse.chunk c set delta = (select o.delta from sparse.chunk o where o.object <> c.object order by o.object desc limit 1)
		where c.object = (select min(object[1]) from sparse.column_chunk where version = sparse_version_id('public/rows'))});
	$node->psql('postgres', $setup . q{
		select count(*) >= 2 from sparse_verify('public/child');
		select pg_temp.state();
		select count(*) >= 1 from sparse_verify_rows('public/rows');
		select pg_temp.state();
		select pg_temp.probe('select public.sparse_reconstruct(''public/child'')');
		select pg_temp.probe('select public.sparse_rows(''public/rows'')');
		select pg_temp.state();
	}, connstr => $node->connstr('postgres') . ' user=reader', stdout => \$out, stderr => \$err, on_error_stop => 0);
	is($out, join("\n", 't', $expected{reader}, 't', $expected{reader}, ("XX001|$expected{reader}") x 2, $expected{reader}),
		'damage leaves whoever reads it himself');
}

# ---- procedures that commit ----

{
	my ($out, $err);
	my $script = $setup;
	my @procedures = grep { $_->[3] eq 'p' } @calls;
	for my $procedure (@procedures)
	{
		(my $call = $procedure->[1]) =~ s/\{i\}/1/g;
		for my $after (1, 5, 20)
		{
			$script .= "set statement_timeout = $after;\n$call;\n${no_timeout}select pg_temp.state();\n";
			$script .= "set statement_timeout = $after;\ndo \$do\$ begin begin $call; exception when query_canceled or others then null; end; end \$do\$;\n"
			  . $no_timeout . "select pg_temp.state();\n";
		}
	}
	$node->psql('postgres', $script, connstr => $node->connstr('postgres') . ' user=keeper', stdout => \$out, stderr => \$err, on_error_stop => 0);
	my @states = grep { /^\w+ public, sparse/ } split /\n/, $out;
	is(@states, @procedures * 6, 'the session is usable after every procedure that was cancelled');
	is_deeply([ grep { $_ ne $expected{keeper} } @states ], [], 'a procedure that commits gives everything back');
}

# ---- the end of the session ----

is_deeply([ glob "$files/out/*.tmp" ], [], 'a cancelled export leaves no temporary file');

$node->stop;
done_testing();
